"""What etcd's data needs: a reserve for a full disk, and a way on when it does not open.

Data is never deleted here: what does not open is moved aside under a new name, and only after two failed starts while
an etcd with empty data starts in the same place.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from controller.local import logs
from controller.local.components import Etcd
from controller.local.exits import Exit
from controller.local.home import Home
from controller.local.process import end, has_ended, spawn

BALLAST_BYTES = 256 * 1024**2
# The reserve is made again only when the disk has this much besides it.
BALLAST_ROOM_BYTES = 1024**3
NEARLY_FULL_BYTES = 16 * 1024**2
SCRATCH_SECONDS = 15.0
FAILED_OPENS = 2

Say = Callable[[str], None]


@dataclass
class EtcdCare:
    """Looks after the data of one etcd.

    Args:
        ballast_bytes: size of the reserve, 0 for none.
        say: told what was done, for people; also kept for `status`.
    """

    home: Home
    etcd: Etcd
    say: Say
    ballast_bytes: int = BALLAST_BYTES
    failed_opens: int = 0

    @property
    def ballast(self) -> Path:
        return self.home.etcd / "ballast"

    def make_ballast(self) -> None:
        """Reserve the blocks now, where there is room; a disk without room is no error.

        Raises:
            OSError: the reserve cannot be made; nothing of it stays.
        """
        if self.ballast_bytes == 0 or self.ballast.exists():
            return
        if free_bytes(self.home.etcd) < self.ballast_bytes + BALLAST_ROOM_BYTES:
            return
        fd = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, self.ballast_bytes)
        except OSError:
            self.ballast.unlink()
            raise
        finally:
            os.close(fd)

    async def exited(self, ending: Exit) -> bool:
        """Called after each exit of etcd that was not asked for; True where the cause was mended."""
        if "no space left on device" in ending.log.lower() or free_bytes(self.home.etcd) < NEARLY_FULL_BYTES:
            return self._drop_ballast()
        if ending.was_ready or ending.code is None or ending.code < 0:
            # It opened its data, or somebody ended it: that says nothing about the data.
            self.failed_opens = 0
            return False
        self.failed_opens += 1
        if self.failed_opens < FAILED_OPENS or not (self.home.etcd_data / "member").exists():
            return False
        if not await self._opens_empty():
            return False
        self.failed_opens = 0
        self._keep_aside(ending)
        return True

    def _drop_ballast(self) -> bool:
        try:
            self.ballast.unlink()
        except FileNotFoundError:
            return False
        self.say(
            f"the disk of {self.home.etcd} is full: the reserve of {self.ballast_bytes >> 20} MiB was freed so that "
            "etcd can start; make room, the reserve is then made again"
        )
        return True

    async def _opens_empty(self) -> bool:
        """Whether etcd starts here with empty data: then binary, directory and disk are good and the data is not."""
        scratch = replace(self.etcd, data="scratch", socket="s.sock:0", peer="t.sock:0")
        directory = self.home.etcd / scratch.data
        launch = scratch.launch()
        shutil.rmtree(directory, ignore_errors=True)
        process = spawn(launch.argv, launch.cwd, launch.env, subprocess.DEVNULL)
        pidfd = os.pidfd_open(process.pid)
        try:
            async with asyncio.timeout(SCRATCH_SECONDS):
                while not has_ended(pidfd):
                    if await scratch.probe() is None:
                        return True
                    await asyncio.sleep(0.1)
            return False
        except TimeoutError:
            return False
        finally:
            await end(pidfd, scratch.stop_seconds)
            process.wait(10)
            os.close(pidfd)
            shutil.rmtree(directory, ignore_errors=True)

    def _keep_aside(self, ending: Exit) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        kept = self.home.etcd / f"data.kept-{stamp}"
        self.home.etcd_data.rename(kept)
        self.say(
            f"etcd's data did not open and is kept in {kept}; a new empty store is used. Running jobs go on untouched; "
            "the controller starts degraded until `holdfast adopt`. To go back: `holdfast down`, then put the kept "
            f"directory (or a backup) in the place of {self.home.etcd_data}. etcd said last:\n"
            + logs.last_lines(_reasons(ending.log), 3)
        )


def _reasons(log: str) -> str:
    """The lines that name the reason; the last ones are those of a stack trace."""
    lines = [line for line in log.splitlines() if line.startswith("panic:") or '"level":"fatal"' in line]
    return "\n".join(lines) or log


def free_bytes(path: Path) -> int:
    """Bytes that this user can still write on the file system of `path`."""
    usage = os.statvfs(path)
    return usage.f_bavail * usage.f_frsize
