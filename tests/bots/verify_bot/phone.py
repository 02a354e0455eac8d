"""The phone of verify_bot: it reads a QR code's text on standard input, and scans it."""

import sys

payload = sys.stdin.read()
if not payload.startswith("qr-"):
    sys.exit(f"no QR code of this bot: {payload!r}")
with open("phone", "w") as pipe:
    pipe.write(payload)
