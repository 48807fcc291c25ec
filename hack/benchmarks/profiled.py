"""`python profiled.py FILE [COMMAND...]`: the controller, or a command of `holdfast`, under cProfile.

Statistics go to FILE when it ends, the controller on SIGTERM.

The clock is the process's CPU time, so that waiting, and whoever else uses the machine, do not show.
"""

from __future__ import annotations

import cProfile
import sys
import time

from controller.app import main
from controller.cli.main import main as holdfast


def run() -> int:
    """What is profiled; the exit status."""
    if not sys.argv[2:]:
        return main()
    sys.argv[1:] = sys.argv[2:]
    try:
        holdfast()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    profile = cProfile.Profile(time.process_time)
    file = sys.argv[1]
    try:
        status = profile.runcall(run)
    finally:
        profile.dump_stats(file)
    sys.exit(status)
