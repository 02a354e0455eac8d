"""The session: its lock, its checks, its snapshots and its restores."""
