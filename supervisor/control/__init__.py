"""The control socket, its client, and the journal of events."""
