"""The JSON keys of the session's commands, which other programs read: written once, as promised."""

INFO = {
    *("id", "path", "exists", "restorable", "why_not", "state", "identity", "epoch"),
    *("size_bytes", "files", "restore_count", "rollback_count", "link_count", "qr_count"),
    *("last_restore_s", "snapshots", "quarantine"),
}
SNAPSHOT = {
    *("id", "seq", "epoch", "taken_at", "reason", "verdict", "proof"),
    *("size_bytes", "new_bytes", "duration_s", "why"),
}
CHECK = {
    *("id", "verdict", "why", "identity", "files", "size_bytes", "linked", "foreign"),
    *("snapshots", "unreadable", "quarantine", "bytes_read", "duration_s"),
    *("ok", "hot", "damaged", "unneeded_packs", "written_down", "unread", "left_out", "away"),
    *("unasked", "waits"),
}
CHECKED_SNAPSHOT = {
    *("id", "seq", "epoch", "taken_at", "verdict", "proof", "restorable", "why_not", "todo"),
}
