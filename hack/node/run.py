"""Run one short command of the machine, with a limit."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from controller.errors import Transient

LIMIT_SECONDS = 60.0


def run(argv: Sequence[str], limit_seconds: float = LIMIT_SECONDS, text: str | None = None) -> str:
    """Its standard output.

    Raises:
        Transient: it failed or took too long; the message holds what it said last.
    """
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=limit_seconds, input=text or ""
        )
    except subprocess.TimeoutExpired as error:
        raise Transient("CommandTooLong", f"{' '.join(argv)}: not done after {limit_seconds:g} s") from error
    except OSError as error:
        raise Transient("CommandFailed", f"{' '.join(argv)}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise Transient("CommandFailed", f"{' '.join(argv)}: exit code {done.returncode}: {said}")
    return done.stdout
