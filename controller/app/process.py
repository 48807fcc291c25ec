"""The process of a controller: settings, the lock of its state directory, the event loop, the exit status."""

from __future__ import annotations

import asyncio
import gc

import structlog

from controller.app.lifecycle import App
from controller.errors import HoldfastError, Terminal
from controller.recovery.binding import HomeLock
from controller.settings import Settings
from controller.telemetry.log import configure

EXIT_LOCKED, EXIT_FAILED = 3, 1

_log = structlog.get_logger("controller.app")


def main() -> int:
    """Run a controller with the settings of the environment; returns the exit status."""
    settings = Settings()
    configure(settings.log_level, settings.log_format)
    try:
        lock = HomeLock(settings.home)
    except Terminal as error:
        _log.error("cannot start", reason=error.reason, error=error.message)
        return EXIT_LOCKED if error.reason == "StateDirectoryLocked" else EXIT_FAILED
    gc.freeze()  # what was imported is never garbage, and 10,000 objects make cycles rarely: 40 % off the first LIST
    gc.set_threshold(50_000, 20, 50)
    try:
        # Not uvloop: a connect that is cancelled in the TLS handshake, as with a server that stands still, makes it
        # close a descriptor a second time that is somebody else's by then (MagicStack/uvloop issue 653).
        failure = asyncio.run(_run(settings, lock))
    except HoldfastError as error:
        _log.error("cannot go on", reason=error.reason, error=error.message)
        return EXIT_FAILED
    finally:
        lock.release()
    if isinstance(failure, HoldfastError):
        _log.error("the controller ends", reason=failure.reason, error=failure.message)
    elif failure is not None:
        _log.error("the controller ends", error=str(failure), exc_info=failure)
    return EXIT_FAILED if failure is not None else 0


async def _run(settings: Settings, lock: HomeLock) -> BaseException | None:
    return await App(settings, lock).run()
