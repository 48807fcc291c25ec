"""`python profiled.py FILE`: the controller under cProfile; statistics go to FILE when it ends on SIGTERM.

The clock is the process's CPU time, so that waiting, and whoever else uses the machine, do not show.
"""

from __future__ import annotations

import cProfile
import sys
import time

from controller.app import main

if __name__ == "__main__":
    profile = cProfile.Profile(time.process_time)
    try:
        status = profile.runcall(main)
    finally:
        profile.dump_stats(sys.argv[1])
    sys.exit(status)
