"""A command that runs for a while: what it printed so far can be waited for."""

from __future__ import annotations

import signal
import subprocess
import threading

from tests.e2e.cli.holdfast_command import LIMIT


class Following:
    """Reads stdout and stderr of a process as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.stdout, self.stderr = b"", b""
        self._threads = [threading.Thread(target=self._read, args=(name,)) for name in ("stdout", "stderr")]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        with getattr(self.process, name) as stream:
            while data := stream.read1(65536):
                setattr(self, name, getattr(self, name) + data)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def ends(self) -> int:
        """Exit code, once it has ended by itself."""
        code = self.process.wait(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        return code

    def end(self) -> None:
        """End it, however far it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.ends()
