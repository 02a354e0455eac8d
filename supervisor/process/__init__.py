"""One bot process: spawn, standby, signals, freeze, reap, the notify socket, the output."""
