"""The program of the containers that have a Repository's credentials, run as the kubelet would."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from controller.repositories.orders import Checkout, PublishPushed
from tests.integration.repositories.homes import Home

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "tok-3n-of-the-secret"


@dataclass(frozen=True)
class Ran:
    """How the program ended: exit status, output, termination message."""

    code: int
    output: str
    said: str


def place_of(home: Home) -> Path:
    """The volumes of the Pod: the workspace, and scratch space in `tmp`."""
    place = home.upstream.bare.parent / "pod"
    (place / "tmp").mkdir(parents=True, exist_ok=True)
    return place


def perform(home: Home, order: Checkout | PublishPushed, token: str = f"{TOKEN}\n", **more: str) -> Ran:
    """Run it, with a termination message that cannot be replaced; the token is nowhere in what it says."""
    place, message = place_of(home), Path(order.result)
    message.write_text("")
    env = {"PATH": os.environ["PATH"], "HOME": "/tmp", "TMPDIR": str(place / "tmp"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "controller.repositories.operations.pod", order.to_json()],
        env={**env, "HOLDFAST_GIT_TOKEN": token, **more},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    assert TOKEN not in output + message.read_text()
    return Ran(done.returncode, output, message.read_text())
