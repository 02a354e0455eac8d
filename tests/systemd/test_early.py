"""The usual run meets a real systemd, once: the rest of this folder takes longer."""

from tests.systemd.conftest import Service


def test_it_is_ready_once_a_person_is_needed_and_a_stop_leaves_nothing(service: Service) -> None:
    """`systemctl start` returns at the QR code, the status says so, and a stop ends all."""
    service.install()
    service.start()
    assert service.events("pairing", bot="echo")
    assert service.state == "active"
    assert service.fact("StatusText") == "1 of 2 bots online; echo waits to be linked"
    service.stop()
    assert service.fact("Result") == "success"
    assert service.fact("ExecMainStatus") == "0"
