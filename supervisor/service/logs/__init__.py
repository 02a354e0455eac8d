"""Where lines of bots and events stay: files that turn over, and the journal."""
