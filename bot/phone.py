"""The phone, on the command line: `python -m bot.phone scan|chat|send|devices|remove`.

The QR code is on the bot's screen. A person's camera would see it; this phone has none, so `scan`
reads what is on the screen from `<data>/screen.qr`, or takes the code's text as an argument.
"""

import argparse
import contextlib
import json
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from bot.phone_client import PhoneClient, Reply
from bot.phone_wire import PhoneError, ask_admin
from bot.protocol import DEFAULT_ACCOUNT

__all__ = ["PhoneClient", "PhoneError", "Reply", "ask_admin", "main"]


def _say(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201 (a command line program)


def _when(seconds: float | None) -> str:
    return (
        "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    )


def _scan(args: argparse.Namespace) -> int:
    with PhoneClient(args.data, number=args.number) as phone:
        _say("looking for the bot's QR code ..." if not args.payload else "linking ...")
        device = phone.scan(args.payload, args.wait)
        _say(f"linked: {device}. Say hello: python -m bot.phone send '!ping'")
    return 0


def _send(args: argparse.Namespace) -> int:
    with PhoneClient(args.data, number=args.number, acknowledge="own") as phone:
        message_id = phone.send(args.text, args.device)
        result: dict[str, Any] = {"id": message_id, "answer": None}
        problem: PhoneError | None = None
        if args.wait > 0:
            try:
                result["answer"] = phone.wait_reply(message_id, args.wait).text
            except PhoneError as no_answer:
                problem = no_answer
        if args.json:
            _say(json.dumps(result))
        elif result["answer"] is not None:
            _say(result["answer"])
        elif problem is not None:
            _say(f"sent; {problem.message} ({problem.hint})")
        else:
            _say("sent")
    return 1 if problem else 0


def _chat(args: argparse.Namespace) -> int:
    with PhoneClient(args.data, number=args.number) as phone:
        _say("Type a message and press Enter (!help lists what the bot can do). Ctrl-D ends.")
        over = threading.Event()
        printer = threading.Thread(target=_print_replies, args=(phone, over), daemon=True)
        printer.start()
        try:
            for line in sys.stdin:
                if line.strip():
                    try:
                        phone.send(line.strip(), args.device)
                    except PhoneError as problem:
                        _say(f"not sent: {problem.message}. {problem.hint}")
            if not sys.stdin.isatty():  # a pipe: the answers to what it said are still wanted
                phone.settle(args.wait)
        except KeyboardInterrupt:
            _say()
        over.set()
        printer.join(timeout=2)
    return 0


def _print_replies(phone: PhoneClient, over: threading.Event) -> None:
    shown = 0
    while True:
        last = over.is_set()
        for reply in phone.replies[shown:]:
            shown += 1
            _say("\n".join(f"  bot> {line}" for line in reply.text.splitlines()))
        if last:
            return
        phone.wait_more(shown, 0.2)


def _devices(args: argparse.Namespace) -> int:
    with PhoneClient(args.data, number=args.number) as phone:
        devices = phone.devices()
    for device in devices:
        for key in ("linked_at", "last_seen"):
            device[key] = _when(device[key]) if device[key] is not None else None
    if args.json:
        _say(json.dumps(devices, indent=1))
        return 0
    for device in devices:
        seen = "online" if device["online"] else f"offline, last seen {device['last_seen']}"
        waiting = f", {device['queued']} waiting" if device["queued"] else ""
        since = device["linked_at"]
        _say(f"{device['id']}  {device['fingerprint']}  linked {since}  {seen}{waiting}")
    if not devices:
        _say("no bot is linked to this phone. Link it: make scan")
    return 0


def _remove(args: argparse.Namespace) -> int:
    with PhoneClient(args.data, number=args.number) as phone:
        _say(f"removed: {phone.remove(args.device)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bot.phone", description="A phone to try the bot."
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", help="the chat server's folder (default .chat-server)")
    shared.add_argument("--number", default="", help=f"of a new phone (default {DEFAULT_ACCOUNT})")
    commands = parser.add_subparsers(required=True, metavar="scan|chat|send|devices|remove")
    scan = commands.add_parser("scan", parents=[shared], help="link the bot by its QR code")
    scan.add_argument("payload", nargs="?", default="", help="the code's text")
    scan.add_argument(
        "--wait", type=float, default=60, metavar="S", help="for the code (default 60)"
    )
    scan.set_defaults(run=_scan)
    chat = commands.add_parser("chat", parents=[shared], help="talk to the bot")
    chat.add_argument("--device", default="", help="which one (default: linked last)")
    chat.add_argument("--wait", type=float, default=10, metavar="S", help="for answers at the end")
    chat.set_defaults(run=_chat)
    send = commands.add_parser("send", parents=[shared], help="send one message")
    send.add_argument("text")
    send.add_argument("--device", default="", help="which one (default: linked last)")
    send.add_argument("--wait", type=float, default=10, metavar="S", help="0: not (default 10)")
    send.add_argument("--json", action="store_true")
    send.set_defaults(run=_send)
    devices = commands.add_parser("devices", parents=[shared], help="list what is linked")
    devices.add_argument("--json", action="store_true")
    devices.set_defaults(run=_devices)
    remove = commands.add_parser("remove", parents=[shared], help="log a device out for good")
    remove.add_argument("device", nargs="?", default="", help="which one (default: linked last)")
    remove.set_defaults(run=_remove)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command of the phone; return its exit status."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except PhoneError as problem:
        hint = f"\n{problem.hint}" if problem.hint else ""
        print(f"{problem.message}{hint}", file=sys.stderr)  # noqa: T201 (a command line program)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
