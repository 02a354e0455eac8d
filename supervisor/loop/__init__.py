"""One bot in our care: its events go into the core, the core's effects come out and are performed.

Nothing is decided here.
"""
