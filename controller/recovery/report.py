"""The reconciler of this start's RecoveryReport: made as Running, written as phases end, then closed (7.1, 7.2).

It has a key in the work queue like everything else, so a refusal is tried again and costs nobody anything. Earlier
reports of the same state directory that are still open are marked Aborted first; the last KEPT stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from pydantic import ValidationError

from controller.api.conditions import within_bound
from controller.api.keys import API_VERSION, Key
from controller.api.recoveryreport import RecoveryReport, RecoveryReportStatus, RecoveryResult
from controller.decisions.reporting import Found, Start, aborted, is_open, report_name, status_of, surplus
from controller.errors import HoldfastError, Terminal, Waiting
from controller.kube.errors import AlreadyExists, Conflict, NotFound, NotServed
from controller.reconcile.merge import difference
from controller.reconcile.parts import Parts
from controller.reconcile.workers import Result

KIND = RecoveryReport.names.kind
MOST_WRITES = 12  # per start; the result is written in any case
KEPT_FOR_THE_END = 2  # of them
REFUSED_AGAIN_SECONDS = 15.0
TOGETHER_SECONDS = 0.5  # what changes within this is written at once, unless it is the end

_log = structlog.get_logger("controller.recovery")


class ReportReconciler:
    """See the module.

    Args:
        namespace: of the reports.
        found: what the report has to say now.
    """

    def __init__(self, parts: Parts, namespace: str, start: Start, found: Callable[[], Found]) -> None:
        self._parts = parts
        self._start = start
        self._found = found
        self._key = Key(KIND, namespace, report_name(start))
        self._made: RecoveryReport | None = None
        self._stored: dict[str, Any] = {}  # its status as the API server has it: without what is only a default
        self._old: list[RecoveryReport] | None = None  # of earlier starts, newest first
        self._written_at = -TOGETHER_SECONDS
        self._writes = 0
        self._gone = False
        self.trouble: str | None = None  # why reports cannot be written

    @property
    def key(self) -> Key:
        """Of this start's report."""
        return self._key

    async def reconcile(self, key: Key) -> Result:
        """One pass; of another key: nothing.

        Raises:
            HoldfastError: the API server could not take it, or refuses it; recovery itself goes on.
        """
        if key != self._key or self._gone:
            return Result()
        try:
            after = await self._pass()
        except Conflict:
            raise
        except (NotServed, Terminal) as error:  # a CRD that is missing or older comes without a change of our object
            self._refused(error)
            raise Waiting(error.reason, error.message, retry_after=REFUSED_AGAIN_SECONDS) from error
        except HoldfastError as error:
            self._refused(error)
            raise
        self._taken()
        return after

    def _refused(self, error: HoldfastError) -> None:
        if self.trouble is None:
            _log.warning("RecoveryReports cannot be written; recovery goes on", reason=error.reason, error=str(error))
        self.trouble = error.message
        self._parts.metrics.recovery.report_refused.set(1)

    def _taken(self) -> None:
        if self.trouble is not None:
            _log.info("RecoveryReports can be written again", report=self._key.name)
        self.trouble = None
        self._parts.metrics.recovery.report_refused.set(0)

    def history(self) -> list[dict[str, object]]:
        """This start's report as it would be written now, then the earlier ones as they were found; newest first."""
        status = status_of(self._start, self._found(), self._recorded, self._parts.now())
        own = {"name": self._key.name, "namespace": self._key.namespace, **status.to_json()}
        old = [
            {"name": each.metadata.name, "namespace": each.metadata.namespace, **each.status.to_json()}
            for each in self._old or ()
        ]
        return [own, *old]

    async def _pass(self) -> Result:
        if self._old is None:
            self._old = await self._earlier()
        await self._close_open()
        if self._made is None:
            self._made = await self._make()
        await self._remove_surplus()
        return await self._write(self._made)

    # --- the earlier ones

    async def _earlier(self) -> list[RecoveryReport]:
        listing = await self._parts.api.list(KIND, self._key.namespace)
        reports = [report for report in map(_parse, listing.items) if report is not None]
        own = [each for each in reports if each.spec.state_id == self._start.state_id]
        return sorted((each for each in own if each.metadata.name != self._key.name), key=_name, reverse=True)

    async def _close_open(self) -> None:
        assert self._old is not None
        for index, report in enumerate(self._old):
            if not is_open(report, self._start):
                continue
            closed = aborted(report.status, self._parts.now())
            self._old[index] = await self._patch(report, closed) or report.model_copy(update={"status": closed})
            self._parts.metrics.recovery.results.labels("Aborted").inc()
            _log.warning("the recovery before did not finish", report=report.metadata.name)

    async def _remove_surplus(self) -> None:
        assert self._old is not None
        for report in surplus(self._old, self._key.name):
            try:
                await self._parts.api.delete(*report.key, report.metadata.uid)
                self._count()
            except NotFound:
                pass  # a person removed it
            self._old.remove(report)

    # --- this start's

    async def _make(self) -> RecoveryReport:
        spec = {"stateId": self._start.state_id, "startId": self._start.start_id}
        namespace, name = self._key.namespace, self._key.name
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec,
        }
        try:
            made = await self._parts.api.create(KIND, namespace, body)
            self._count()
        except AlreadyExists:  # our own, whose answer did not come
            made = await self._parts.api.get(*self._key)
        self._stored = made.get("status") or {}
        return RecoveryReport.model_validate(made)

    async def _write(self, made: RecoveryReport) -> Result:
        found, now = self._found(), self._parts.monotonic()
        ends = found.result is not made.status.result
        if not ends and self._writes >= MOST_WRITES - KEPT_FOR_THE_END * (found.result is RecoveryResult.RUNNING):
            return Result()
        left = self._written_at + TOGETHER_SECONDS - now
        if not ends and left > 0:
            return Result(left)
        status, _ = within_bound(status_of(self._start, found, made.status, self._parts.now()))
        if self._stored == status.to_json():
            return Result()
        written = await self._patch(made, status)
        self._written_at = now
        if written is None:
            self._gone = True
            _log.warning("the RecoveryReport of this start was deleted: it is not written again", report=self._key.name)
        self._made = written
        return Result()

    async def _patch(self, report: RecoveryReport, status: RecoveryReportStatus) -> RecoveryReport | None:
        """Record; None where somebody has deleted it."""
        recorded = self._stored if report is self._made else report.status.to_json()
        patch, meta = difference(recorded, status.to_json()), report.metadata
        try:
            raw = await self._parts.api.patch_status(*report.key, meta.uid, meta.resource_version, patch)
        except NotFound:
            return None
        except Conflict:  # a person edited it: read it again, then say it again
            again = await self._parts.api.get(*report.key)
            fresh = RecoveryReport.model_validate(again)
            if self._made is report:
                self._made, self._stored = fresh, again.get("status") or {}
            elif self._old is not None and report in self._old:
                self._old[self._old.index(report)] = fresh
            raise
        self._count()
        if self._made is report:
            self._stored = raw.get("status") or {}
        return RecoveryReport.model_validate(raw)

    def _count(self) -> None:
        self._writes += 1
        self._parts.metrics.recovery.report_writes.inc()

    @property
    def _recorded(self) -> RecoveryReportStatus:
        return self._made.status if self._made is not None else RecoveryReportStatus()


def _parse(item: dict[str, Any]) -> RecoveryReport | None:
    try:
        return RecoveryReport.model_validate(item)
    except ValidationError as error:  # of another version, or edited by hand: it is not ours to mend
        _log.warning(
            "a RecoveryReport cannot be read: it is left alone", name=item["metadata"]["name"], error=str(error)
        )
        return None


def _name(report: RecoveryReport) -> str:
    return report.metadata.name
