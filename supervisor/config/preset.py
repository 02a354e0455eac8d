"""What a preset says of one bot library: plain data, as its file or the config has it."""

import re
from dataclasses import dataclass, field
from typing import Literal

Place = Literal["folder", "file", "parts"]
Close = Literal["", "browser"]
Regexes = tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognise:
    """By what a bot of this library is known.

    `packages`: names in its package.json, requirements or pyproject.toml; `imports`: what its
    source imports or requires; `text`: words that only its source has.
    """

    packages: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlace:
    """Where the library keeps its session, relative to the bot's working folder.

    `kind`: of which kind it is, see session/proof/kinds; that says how long a login needs until it
    is on the disk.
    `place`: a folder of its own, one file among others, or several parts (files and folders) among
    others. `source`: regexes that find its name in the bot's source: what their group holds, or,
    without a group, the expression that follows them (presets/expression.py); `named`: where one of
    that name lies. `path`: patterns of where it lies otherwise, the usual first. All of that lies
    in `folder`, or in the one that `folder_source` finds.
    """

    kind: str = "generic"
    place: Place = "folder"
    source: Regexes = ()
    named: str = "{}"
    path: tuple[str, ...] = ()
    folder: str = "."
    folder_source: Regexes = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the library prints, or what its bots do: regexes that are searched in each line.

    A group `reason` or `identity` is what the line says of it. `logged_out`: an explicit logout,
    after which nothing is ever restored; `lost`: the session was refused without one.
    """

    ready: Regexes = ()
    connecting: Regexes = ()
    pairing: Regexes = ()
    linked: Regexes = ()
    identity: Regexes = ()
    offline: Regexes = ()
    conflict: Regexes = ()
    lost: Regexes = ()
    logged_out: Regexes = ()
    undecryptable: Regexes = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """How its process is treated.

    `speaks`: it says itself when it is up, by the contract.
    `alive_s`: a bot that says nothing that is known is taken to be up once it has run so long.
    `close`: what has to be closed before the stop signal: a browser, by its debugging port.
    `ignore`: patterns of what its library writes among the source.
    """

    speaks: bool = False
    alive_s: float = 3.0
    close: Close = ""
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One library. `about`: what it is for, and in which version its messages were read."""

    name: str
    about: str = ""
    recognise: Recognise = field(default_factory=Recognise)
    session: SessionPlace = field(default_factory=SessionPlace)
    output: Output = field(default_factory=Output)
    process: Process = field(default_factory=Process)


# What a bot is until something is known of it.
GENERIC = Preset(name="generic")
