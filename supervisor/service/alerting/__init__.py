"""Tells a person what needs one: which events do, how often, and on what way."""
