"""A bot as people write them with Telethon."""

from telethon import TelegramClient

client = TelegramClient("anon", 12345, "0123456789abcdef")
client.start()
print("(Press Ctrl+C to stop this)", flush=True)
client.run_until_disconnected()
