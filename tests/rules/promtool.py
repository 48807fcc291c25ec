"""promtool, of the Debian package `prometheus`."""

from __future__ import annotations

import subprocess

from tests.needs import need

LIMIT = 240


def promtool(*arguments: str, text: bytes | None = None) -> str:
    """Run it; returns what it says, which is in the failure too."""
    done = subprocess.run([need("promtool"), *arguments], input=text, capture_output=True, timeout=LIMIT, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
