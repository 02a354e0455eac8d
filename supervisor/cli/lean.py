"""What a supervisor does without: it stays for weeks, beside each bot."""

import sys

from supervisor.process.memory import use_one_arena


def be_lean() -> None:
    """Take no more memory than is used from here on. Before asyncio is imported."""
    use_one_arena()
    _load_asyncio()


def _load_asyncio() -> None:
    """Import asyncio as it is where Python was built without TLS: 4 MB less.

    It imports `ssl`, and with it OpenSSL, only to have them at hand; without them it does all but
    TLS (`ssl = None` in asyncio/sslproto.py). Whoever needs TLS imports `ssl` itself, as ever.
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment] # `import ssl` is an ImportError now
    try:
        import asyncio  # noqa: F401, PLC0415 - for its effect
    finally:
        del sys.modules["ssl"]
