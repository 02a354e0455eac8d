"""Makes orphans, as many as it is told, which wait; what is written into the pipe `go` ends them.

They end all at once. After `crash` the bot itself ends as well, with 7; else it goes on.
"""

import os
import signal
import sys
from pathlib import Path

reads, writes = os.pipe()
if os.fork() == 0:
    for _ in range(int(sys.argv[1])):
        if os.fork() == 0:
            os.close(writes)
            os.read(reads, 1)
            os._exit(0)
    os._exit(0)
os.wait()
os.write(1, b"here\n")
if Path("go").read_text() == "crash":
    os._exit(7)
os.close(writes)
signal.pause()
