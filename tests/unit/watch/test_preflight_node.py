"""What Node can't parse is known before a working bot is stopped; nothing else is held up."""

import asyncio
import os
import shlex
import stat
from pathlib import Path

import pytest

from supervisor.watch.node import judged, runner
from supervisor.watch.preflight import Problem, preflight_node
from tests.bots import nodekit

BAD = "const x = 1;\nfoo(\n  1 2);\n"
BAD_MODULE = 'import x from "y";\nfoo(\n  1 2);\n'
MODULE = 'import x from "y";\nawait x;\nexport default 1;\n'
COMMONJS = "#!/usr/bin/env node\nconst a = require('x');\nif (a) return;\n"
DECORATED = "class A { constructor(@p() private a: string) {} }\nenum E { A }\nlet y: string = 1;\n"


def told(folder: Path, *command: str, path: str | None = None) -> list[Problem] | str:
    """Judge all files of a folder as this command would run them."""
    paths = sorted(each.name for each in folder.iterdir() if each.name != "node_modules")

    async def main() -> list[Problem] | str:
        env = {**os.environ, **({} if path is None else {"PATH": path})}
        async with asyncio.timeout(30):
            return await preflight_node(paths, base=folder, command=command, cwd=folder, env=env)

    return asyncio.run(main())


def where(problems: list[Problem] | str) -> list[tuple[str, int | None, int | None]]:
    """Return path, line and column of each."""
    assert not isinstance(problems, str)
    return [(each.path, each.line, each.column) for each in problems]


def written(folder: Path, **files: str) -> Path:
    """Write files: `bad_js` is `bad.js`."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@nodekit.needs_node
def test_each_file_that_cant_be_parsed_is_told_with_its_place(tmp_path: Path) -> None:
    """In the words of Node, by the rules of its kind; what is fine or gone is not told."""
    written(tmp_path, ok_js=COMMONJS, bad_js=BAD, ok_mjs=MODULE, bad_mjs=BAD_MODULE)
    written(tmp_path, ok_cjs=COMMONJS, bad_cjs=MODULE, data_json="{", text_txt="(")
    written(tmp_path, module_js=MODULE, badmodule_js=BAD_MODULE)
    (tmp_path / "gone.js").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.js").mkdir()
    problems = told(tmp_path, "node", "ok.js")
    assert where(problems) == [
        ("bad.cjs", 1, 1),
        ("bad.js", 3, 3),
        ("bad.mjs", 3, 3),
        ("badmodule.js", 3, 3),
    ]
    assert problems[1] == Problem(
        "bad.js", 3, "SyntaxError: missing ) after argument list", column=3
    )


@nodekit.needs_node
@pytest.mark.parametrize(("kind", "wrong"), [("module", "b.js"), ("commonjs", "a.js")])
def test_package_json_says_what_a_file_is(tmp_path: Path, kind: str, wrong: str) -> None:
    """Node itself goes by it; a loader takes both kinds in each file."""
    written(tmp_path, a_js=MODULE, b_js=COMMONJS)
    (tmp_path / "package.json").write_text(f'{{"type": "{kind}"}}')
    assert [path for path, *_ in where(told(tmp_path, "node", "a.js"))] == [wrong]
    assert told(tmp_path, "tsx", "a.js") == []


@nodekit.needs_node
def test_a_broken_package_json_is_told(tmp_path: Path) -> None:
    """Nothing starts with it; and it hides nothing else."""
    written(tmp_path, a_js=BAD)
    (tmp_path / "package.json").write_text('{"name": "a",\n "type" }')
    assert where(told(tmp_path, "node", "a.js")) == [("a.js", 3, 3), ("package.json", 2, 9)]


@nodekit.needs_node
@nodekit.needs_packages("tsx", "typescript")
@pytest.mark.parametrize("program", ["tsx", "ts-node"])
def test_typescript_is_parsed_by_what_the_project_has(tmp_path: Path, program: str) -> None:
    """Its grammar only: a wrong type stops no bot that runs by these."""
    (tmp_path / "node_modules").symlink_to(nodekit.MODULES)
    written(tmp_path, ok_ts=DECORATED, bad_ts="let a: number = 1;\nlet b: string = ;\n")
    written(tmp_path, ok_tsx="let a = <b>{1}</b>;\n", bad_tsx="let a = <b>{1}</c>;\n")
    assert [found[:2] for found in where(told(tmp_path, program, "ok.ts"))] == [
        ("bad.ts", 2),
        ("bad.tsx", 1),
    ]


@nodekit.needs_node
@nodekit.needs_packages("tsx")
def test_what_tsx_takes_is_no_error(tmp_path: Path) -> None:
    """It reads JavaScript too, and knows more of it than Node does."""
    (tmp_path / "node_modules").symlink_to(nodekit.MODULES)
    written(tmp_path, a_js='import x from "y";\n@x class A {}\n', b_js=BAD)
    assert [found[:2] for found in where(told(tmp_path, "tsx", "a.js"))] == [("b.js", 3)]
    assert [found[0] for found in where(told(tmp_path, "node", "a.js"))] == ["a.js", "b.js"]


@nodekit.needs_node
def test_what_nobody_here_can_parse_is_let_through(tmp_path: Path) -> None:
    """TypeScript without its compiler, and whatever bun makes of a file."""
    written(tmp_path, a_ts="let a: = ;")
    assert told(tmp_path, "tsx", "a.ts") == []
    written(tmp_path, a_js="let a = <b>1</b>;\n")
    assert told(tmp_path, "bun", "a.js") == []


def test_without_node_it_says_so(tmp_path: Path) -> None:
    """And finds no fault with the files."""
    written(tmp_path, a_js=BAD)
    assert told(tmp_path, "tsx", "a.js", path="/nowhere") == (
        "there is no `node` on the bot's PATH"
    )
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho nonsense\n")
    node.chmod(node.stat().st_mode | stat.S_IXUSR)
    assert told(tmp_path, str(node), "a.js") == f"{node} gave no answer"


def test_only_a_node_bot_is_judged(tmp_path: Path) -> None:
    """And only its source."""
    written(tmp_path, a_js=BAD)
    assert told(tmp_path, "./bot.sh", path="/nowhere") == []
    names = ("a.js", "b/c.mts", "package.json", "tsconfig.build.json", "data.json", "a.py", "js")
    assert [judged(name) for name in names] == [True, True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("node index.js", "node"),
        ("/opt/node/bin/node --inspect index.js", "node"),
        ("node --import tsx index.ts", "tsx"),
        ("node -r ts-node/register index.ts", "ts-node"),
        ("node node_modules/tsx/dist/cli.mjs index.ts", "node"),
        ("npx --yes tsx index.ts", "tsx"),
        ("npm start", "node"),
        ("npm run dev", "tsx"),
        ("npm run build", None),
        ("npm run nothing", None),
        ("npm run loop", None),
        ("npm exec ts-node index.ts", "ts-node"),
        ("yarn dev", "tsx"),
        ("yarn ts-node index.ts", "ts-node"),
        ("pnpm dlx bun index.ts", "bun"),
        ("npx", None),
        ("deno run main.ts", "deno"),
        ("sh -c 'exec node index.js'", "node"),
        ("sh bot.sh", None),
        ('sh -c "\'"', None),
        ("python bot.py", None),
    ],
)
def test_it_is_known_what_runs_a_bot_in_the_end(
    tmp_path: Path, command: str, runs: str | None
) -> None:
    """Through npm and its kind, and a shell."""
    (tmp_path / "package.json").write_text(
        '{"scripts": {"start": "NODE_ENV=production node index.js", "dev": "tsx watch index.ts",'
        ' "build": "tsc && node dist", "loop": "npm run loop"}}'
    )
    words = shlex.split(command)
    assert runner(words, tmp_path) == runs
