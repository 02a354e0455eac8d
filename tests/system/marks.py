"""What the chat server's own log proves."""

from tests.system.harness import Folder


def online_one_at_a_time(folder: Folder) -> int:
    """Check that no device was ever online twice; return how often one came online."""
    assert not folder.server_log("conflict")
    online: dict[str, str] = {}
    count = 0
    for entry in folder.server_log():
        if entry["event"] == "connected":
            assert entry["device"] not in online, "two at once"
            online[entry["device"]] = entry["conn"]
            count += 1
        elif entry["event"] == "disconnected" and online.get(entry["device"]) == entry["conn"]:
            del online[entry["device"]]
    return count
