"""The boundary of what is done beside the workers, as theirs: a defect of one piece of work must not end the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from controller.kube.errors import OlderEtcd
from controller.reconcile.workers import being_cancelled
from controller.telemetry.metrics import Metrics

_log = structlog.get_logger("controller.background")


@contextmanager
def survived(
    metrics: Metrics, work: str, what: str, failed: Callable[[str], None], *expected: type[Exception]
) -> Iterator[None]:
    """Have what is done inside fail without ending the controller; it is tried again by whoever does it.

    Args:
        work: one of `controller.telemetry.metrics.BACKGROUND`.
        what: is done, for the log and for `failed`.
        failed: told of the error in one sentence.
        expected: errors of the world, which are no defects; `failed` tells of them.

    Raises:
        OlderEtcd: etcd was replaced: the controller has to end; the next start is degraded and says why.
        CancelledError: this task is cancelled.
    """
    try:
        yield
    except OlderEtcd:
        raise
    except expected as error:
        failed(f"{what}: {error}")
    except asyncio.CancelledError as error:
        if being_cancelled():
            raise
        _tell(metrics, work, what, failed, error)  # something that it waited for was cancelled, not this task
    except Exception as error:  # noqa: BLE001  the worker boundary: a defect of one must not end the others
        _tell(metrics, work, what, failed, error)


def _tell(metrics: Metrics, work: str, what: str, failed: Callable[[str], None], error: BaseException) -> None:
    metrics.reconcile_errors.labels(work, "defect").inc()
    _log.error("work beside the workers failed: a defect", work=work, what=what, error=str(error), exc_info=error)
    failed(f"{what}: a defect, see the log ({type(error).__name__}: {error})")
