"""The command line: the commands, the console, the keys. Decides nothing about bots."""
