"""A real supervisor that looks after its control socket all the time, and not twice a minute."""

import functools
from unittest.mock import patch

from supervisor import runner
from supervisor.cli.main import main
from supervisor.control.server import ControlServer

if __name__ == "__main__":
    with patch.object(runner, "ControlServer", functools.partial(ControlServer, look_s=0.02)):
        main()
