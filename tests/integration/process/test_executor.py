"""One attempt from launch to end on a real host: outcomes, environment, output, stop (requirements 2.6, 3.1-3.7)."""

from __future__ import annotations

from controller.decisions.observed import Evidence
from tests.integration.process.attempts import Host, until


async def test_exit_code_output_and_wake_up(host: Host) -> None:
    """3.1, 3.2: the end arrives with code and output, and wakes the controller."""
    spec = host.shell("echo out; echo err >&2; exit 7")
    seen = await host.finish(spec)
    assert (seen.evidence, seen.exit.code, seen.exit.signal, seen.exit.reason) == (Evidence.ENDED, 7, None, "")
    assert host.output(spec) == "out\nerr\n"
    assert seen.output_bytes == 8
    await until(lambda: host.woken == [spec.attempt], what="wake-up")
