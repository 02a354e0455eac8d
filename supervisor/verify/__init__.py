"""The acceptance list: what people were promised, tried on their own bot, and measured."""
