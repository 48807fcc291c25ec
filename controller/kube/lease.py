"""The Lease: one controller of a cluster acts, the others stand by (requirement 10.5, design 9).

Promises: time is counted by CLOCK_BOOTTIME, which goes on while a machine sleeps; a renewal counts from when it was
sent; whoever cannot renew in time stops writing before anybody else may begin, and `keep` raises. What a frozen process
had handed to the kernel before it froze can still arrive.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from controller.decisions.lease import Held, Sighting, seen, takeable_in, valid
from controller.errors import HoldfastError, Terminal, Transient
from controller.kube.client import Api
from controller.kube.errors import AlreadyExists, Conflict, NotFound

RENEW_SHARE = 1 / 6  # of the duration: between two renewals
LOOK_SECONDS = 0.5  # between two looks of who stands by: a released lease is taken within two seconds

_log = structlog.get_logger("controller.lease")


class NotLeading(Transient):
    """The lease is not valid for long enough: the write was not sent."""


class LeaseLost(Terminal):
    """Another controller leads, or may by now: end, and stand by after the next start."""


class Lease:
    """One candidate's view of one Lease object.

    Args:
        api: of its own, so that no other call delays a renewal.
        identity: of this process, unlike that of any other, also of an earlier one in the same Pod.
        duration: seconds for which a renewal holds.
        request_seconds: time limit of one request of this controller, to whatever object.
    """

    def __init__(
        self, api: Api, namespace: str, name: str, identity: str, duration: float, request_seconds: float
    ) -> None:
        self._api = api
        self.namespace, self.name = namespace, name
        self._identity = identity
        self._duration = duration
        self._request_seconds = request_seconds
        self._sighting: Sighting | None = None
        self._gone_since: float | None = None  # a Lease that somebody held was deleted
        self._renewed_at: float | None = None

    @property
    def leads(self) -> bool:
        """Whether a write that is sent now arrives while we lead."""
        return valid(self._renewed_at, self._duration, _now(), self._request_seconds)

    @property
    def holder(self) -> str:
        """Who held it when it was last looked at, "" for nobody."""
        return self._sighting.held.holder if self._sighting is not None else ""

    def check(self) -> None:
        """For `Api.guard`, before each write.

        Raises:
            NotLeading: it could arrive when another controller leads.
        """
        if not self.leads:
            raise NotLeading("NotLeading", f"the lease {self.namespace}/{self.name} is not ours for long enough")

    async def acquire(self) -> None:
        """Stand by until we lead; what the API server refuses is tried again."""
        told = ""
        while True:
            try:
                if await self._try():
                    _log.info("leading", lease=self.name, identity=self._identity)
                    return
                problem = f"{self.holder} leads"
            except HoldfastError as error:
                problem = f"{error.reason}: {error.message}"
            if problem != told:
                _log.info("standing by", lease=self.name, because=problem)
                told = problem
            await asyncio.sleep(LOOK_SECONDS)

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLost: it is another one's, or could not be renewed in time.
        """
        while True:
            await asyncio.sleep(self._duration * RENEW_SHARE)
            try:
                await self._renew()
            except HoldfastError as error:
                if not isinstance(error, LeaseLost) and self.leads:
                    _log.warning("the lease could not be renewed", reason=error.reason, error=error.message)
                    continue
                self._renewed_at = None
                text = f"the lease {self.namespace}/{self.name} is lost: {error.message}"
                raise LeaseLost("LeaseLost", text) from error

    async def release(self) -> None:
        """Let the next one lead at once; what cannot be told runs out by itself. Nothing is written after this."""
        ours, self._renewed_at = self._renewed_at, None
        if ours is None or self._sighting is None:
            return
        try:
            await self._write(self._sighting.held, {"holderIdentity": ""})
        except HoldfastError as error:
            _log.warning("the lease could not be released: it runs out", reason=error.reason, error=error.message)

    async def _try(self) -> bool:
        """Take it if that is allowed now."""
        sent = _now()
        try:
            held = _held(await self._api.get("Lease", self.namespace, self.name))
        except NotFound:
            return self._may_create() and await self._create(sent)
        self._gone_since = None
        self._sighting = seen(self._sighting, held, _now())
        if takeable_in(self._sighting, self._identity, _now(), self._request_seconds) > 0:
            return False
        sent = _now()
        try:
            change = {"acquireTime": _stamp(), "leaseTransitions": held.transitions + 1}
            await self._write(held, {**self._ours(), **change})
        except Conflict:
            return False
        self._renewed_at = sent
        return True

    def _may_create(self) -> bool:
        """Whether nobody leads by a Lease that was deleted: its holder writes until it notices, and makes it anew."""
        if self._sighting is None or self._sighting.held.holder == "":
            return True
        if self._gone_since is None:
            self._gone_since = _now()
        gone = Sighting(self._sighting.held, self._gone_since)
        return takeable_in(gone, self._identity, _now(), self._request_seconds) == 0

    async def _create(self, sent: float) -> bool:
        transitions = self._sighting.held.transitions if self._sighting is not None else 0
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {**self._ours(), "acquireTime": _stamp(), "leaseTransitions": transitions},
        }
        try:
            held = _held(await self._api.create("Lease", self.namespace, body))
        except AlreadyExists:
            return False
        self._sighting, self._renewed_at = Sighting(held, _now()), sent
        return True

    async def _renew(self) -> None:
        assert self._sighting is not None
        sent = _now()
        try:
            await self._write(self._sighting.held, self._ours())
        except NotFound:  # deleted by a person: who stands by waits until it would have run out
            if not await self._create(sent):
                sent = await self._renew_other()
        except Conflict:
            sent = await self._renew_other()
        self._renewed_at = sent

    async def _renew_other(self) -> float:
        """Renew another version than we know, if it is ours: an answer was lost, or a person edited it."""
        held = _held(await self._api.get("Lease", self.namespace, self.name))
        if held.holder != self._identity:
            raise LeaseLost("LeaseLost", f"{held.holder or 'nobody'} holds it")
        self._sighting = Sighting(held, _now())
        sent = _now()
        await self._write(held, self._ours())
        return sent

    async def _write(self, held: Held, spec: dict[str, Any]) -> None:
        body = {"metadata": {"resourceVersion": held.version}, "spec": spec}
        written = await self._api.patch("Lease", self.namespace, self.name, body)
        self._sighting = Sighting(_held(written), _now())

    def _ours(self) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._duration),
            "renewTime": _stamp(),
        }


def _held(raw: dict[str, Any]) -> Held:
    spec = raw.get("spec") or {}
    return Held(
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        version=str(raw["metadata"]["resourceVersion"]),
    )


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _stamp() -> str:
    """For people, as metav1.MicroTime is written; nobody reckons with it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
