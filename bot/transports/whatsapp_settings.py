"""What the bot's environment says of WhatsApp (docs/whatsapp.md). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the bot's environment says. `phone` and `allowed` are digits."""

    phone: str = ""
    allowed: frozenset[str] = frozenset()
    self_test: bool = False
    proxy: str = ""
    log: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read BOT_PAIR_PHONE, BOT_ALLOW, BOT_SELF_TEST, BOT_WHATSAPP_PROXY, BOT_WHATSAPP_LOG."""
        allowed = (_digits(one) for one in environ.get("BOT_ALLOW", "").split(","))
        return cls(
            phone=_digits(environ.get("BOT_PAIR_PHONE", "")),
            allowed=frozenset(one for one in allowed if one),
            self_test=environ.get("BOT_SELF_TEST", "") == "1",
            proxy=environ.get("BOT_WHATSAPP_PROXY", ""),
            log=environ.get("BOT_WHATSAPP_LOG", ""),
        )

    def caps(self, base: str) -> str:
        """Return what the bot can do: a round trip only where the user allows the message."""
        return f"{base} roundtrip" if self.self_test else base


def _digits(text: str) -> str:
    return "".join(c for c in text if c in "0123456789")
