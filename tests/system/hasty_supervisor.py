"""A real supervisor for which a day is half a second, and a week one."""

import functools
from unittest.mock import patch

from supervisor.cli.main import main
from supervisor.loop import charge
from supervisor.loop.rounds import Rounds, Times

if __name__ == "__main__":
    times = Times(check_s=0.5, drill_s=1.0, look_s=0.1)
    with patch.object(charge, "Rounds", functools.partial(Rounds, times=times)):
        main()
