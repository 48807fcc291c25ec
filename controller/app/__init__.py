"""The composition root: the only place where the parts of the controller are put together, and their life cycle.

`kinds` is the table of who handles which kind, `foundation` and `works` make the parts, before and after the cluster
is joined, `lifecycle` starts and stops them, `process` is the operating system's side of it.
"""

from controller.app.process import EXIT_FAILED, EXIT_LOCKED, main

__all__ = ["EXIT_FAILED", "EXIT_LOCKED", "main"]
