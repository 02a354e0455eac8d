"""Which chat network the bot is on: `BOT_TRANSPORT`. It imports only what was chosen."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from bot.transports import Host, SetupError, Transport

CAPS = "standby checkpoint:SIGUSR2"


@dataclass(frozen=True, slots=True)
class Chosen:
    """`make`: called once the session is the bot's. `caps`: what the bot can do with it.

    `scan_hint`: how a person scans its QR code, where that is not by a phone's own menu.
    """

    make: Callable[[], Transport]
    caps: str = CAPS
    scan_hint: str = ""


def transport(host: Host) -> Chosen:
    """Return the transport that the environment names. It touches neither session nor network.

    Raises: SetupError with words for the person, if there is none of that name, or it lacks
    something.
    """
    match os.environ.get("BOT_TRANSPORT") or "local":
        case "local":
            from bot.protocol import data_dir  # noqa: PLC0415 (only what is used)
            from bot.transports.local import LocalTransport  # noqa: PLC0415 (the same)

            make = lambda: LocalTransport(host, data_dir())  # noqa: E731 (one of three)
            return Chosen(make, scan_hint=": python -m bot.phone scan")
        case "matrix":
            return _matrix(host)
        case "whatsapp":
            return _whatsapp(host)
        case other:
            raise SetupError(f"BOT_TRANSPORT={other!r} is unknown: local, whatsapp or matrix")


def _matrix(host: Host) -> Chosen:
    try:
        from bot.transports.matrix import MatrixTransport  # noqa: PLC0415 (half a second)
    except ModuleNotFoundError as missing:
        raise _lacks("matrix", missing) from None
    from bot.transports.matrix_config import settings  # noqa: PLC0415 (the same)

    given = settings(os.environ)
    return Chosen(lambda: MatrixTransport(host, given))


def _whatsapp(host: Host) -> Chosen:
    try:
        from bot.transports.whatsapp import WhatsAppTransport  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as missing:
        raise _lacks("whatsapp", missing) from None
    from bot.transports.whatsapp_settings import Settings  # noqa: PLC0415 (the same)

    given = Settings.read(os.environ)
    return Chosen(lambda: WhatsAppTransport(host, given), given.caps(CAPS))


def _lacks(name: str, missing: ModuleNotFoundError) -> SetupError:
    hint = f"pip install -e '.[bot,{name}]'"
    return SetupError(f"BOT_TRANSPORT={name} needs {missing.name}: {hint}")
