"""The bot that ships: commands, transports, its session, a chat server and a phone to try it."""
