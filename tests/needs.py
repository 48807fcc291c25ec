"""What a test needs of the machine: missing, it fails in CI and is skipped with the reason elsewhere (design 12)."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def need(program: str) -> str:
    """Path of a program on the PATH; without it the test does not go on."""
    found = shutil.which(program)
    if found is None:
        lack(f"{program} is not installed")
    return found


def need_root() -> None:
    """The test mounts or chowns."""
    if os.geteuid() != 0:
        lack("this needs root")


def lack(reason: str) -> NoReturn:
    """End the test because of `reason`."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
