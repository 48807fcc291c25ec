"""What root may do and others may not: done in a child process that is nobody."""

from __future__ import annotations

import codecs
import os
import traceback
from collections.abc import Callable

NOBODY = 65534


def as_nobody(act: Callable[[], None]) -> None:
    """Call `act` in a child that is no root; fails where it raises, with its trace on stderr."""
    for name in ("ascii", "idna", "latin-1"):
        codecs.lookup(name)  # only root may be able to read the files of this interpreter
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            act()
        except BaseException:  # noqa: BLE001  the child must not go on as a second test run
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
