"""The phases of one start: which keys and steps belong to each, and when each was over (requirements 7.1, 7.3).

A phase is over when each of its items was looked at successfully once: keys by the workers, which try again with their
own backoff, steps by whoever does them. Nothing is held back here, and nobody waits for anything here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from controller.api.keys import Key
from controller.api.recoveryreport import PhaseReport, PhaseState, RecoveryResult
from controller.decisions.recommendations import Trouble
from controller.decisions.recovery import LIMITS, NEEDS, ORDER, SETTLED, Progress, RecoveryPhase, result, settle
from controller.errors import Terminal, Waiting
from controller.kube.errors import Conflict, Forbidden, NotFound
from controller.reconcile.first_pass import FirstPass
from controller.reconcile.workers import Reconcile, Result

STEP = "Step"  # kind of the key of a step
GATE = Key(STEP, "", "admission")
PHASE_OF_KIND: Mapping[str, RecoveryPhase] = {
    "Repository": RecoveryPhase.LOCKS,
    "RepositoryLock": RecoveryPhase.LOCKS,
    "JobBatch": RecoveryPhase.PREPARATIONS,
    "Callback": RecoveryPhase.CALLBACKS,
    "JobQueue": RecoveryPhase.QUEUE,
    "BatchJob": RecoveryPhase.QUEUE,
}  # of the keys that are neither held nor ownerless; the others are nobody's need and belong to the last phase

Listener = Callable[["Phases"], None]

_log = structlog.get_logger("controller.recovery")


@dataclass(slots=True)
class _Account:
    """One phase: what is left, what went wrong, when."""

    objects: int = 0
    left: set[Key] = field(default_factory=set)
    wrong: dict[Key, str] = field(default_factory=dict)
    state: PhaseState = PhaseState.PENDING
    since: float | None = None  # it may run
    ended: float | None = None


class Phases:
    """See the module.

    Args:
        closed: why nothing is admitted: the last phase is over when nothing keeps the gate shut.
        unaccounted: whether the gate was told to wait for a key that is not accounted for yet.
        changed: called after each change of a phase's state.
        looked: called after each reconcile, whatever came of it.
    """

    def __init__(
        self,
        closed: Callable[[], Mapping[str, str]],
        unaccounted: Callable[[Key], bool],
        changed: Listener,
        looked: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        limits: Mapping[RecoveryPhase, float] = LIMITS,
    ) -> None:
        self._closed = closed
        self._unaccounted = unaccounted
        self._changed = changed
        self._looked = looked
        self._clock = clock
        self._limits = limits
        self._accounts = {phase: _Account() for phase in ORDER}
        self._phase_of: dict[Key, RecoveryPhase] = {}  # items that are left
        self._began: float | None = None
        self.result = RecoveryResult.RUNNING
        self.expect(RecoveryPhase.STEADY, [GATE])

    # --- what belongs to which phase

    def expect(self, phase: RecoveryPhase, items: Iterable[Key]) -> None:
        """These items belong to `phase`, unless they belong to one already."""
        account = self._accounts[phase]
        for item in items:
            if item not in self._phase_of:
                self._phase_of[item] = phase
                account.left.add(item)
                account.objects += 1

    def step(self, phase: RecoveryPhase, name: str) -> Step:
        """A step of `phase` that is no reconcile of a key; to be called before `begin`."""
        key = Key(STEP, "", name)
        self.expect(phase, [key])
        return Step(self, key)

    def begin(self, queued: FirstPass) -> None:
        """The first pass has queued its keys."""
        self.expect(RecoveryPhase.ATTEMPTS, (*queued.held, *queued.ownerless))
        for key in queued.others:
            self.expect(PHASE_OF_KIND.get(key.kind, RecoveryPhase.STEADY), [key])
        self._began = self._clock()
        self.look()

    # --- what happens

    def watching(self, reconcile: Reconcile) -> Reconcile:
        """`reconcile`, each outcome of which is noted as long as its key is left in a phase."""

        async def watched(key: Key) -> Result:
            try:
                done = await reconcile(key)
            except Exception as error:
                if key in self._phase_of:
                    self._failed(key, error)
                raise
            else:
                self.succeeded(key)
                return done
            finally:
                self._looked()

        return watched

    def succeeded(self, item: Key) -> None:
        """An item was looked at successfully."""
        phase = self._phase_of.pop(item, None)
        if phase is None:
            return
        account = self._accounts[phase]
        account.left.discard(item)
        account.wrong.pop(item, None)
        if not account.left:
            self.look()

    def failed(self, item: Key, message: str) -> None:
        """An item could not be looked at; it is tried again."""
        if (phase := self._phase_of.get(item)) is not None:
            self._accounts[phase].wrong[item] = message

    def _failed(self, key: Key, error: Exception) -> None:
        """What only a change of the world or a person can end was looked at: its own status says so.

        Not so before what runs of it is accounted for: nothing is recorded yet, and admission would wait on (7.3).
        """
        settled = isinstance(error, Terminal | Waiting) and not isinstance(error, Forbidden)
        if settled and not self._unaccounted(key):
            self.succeeded(key)
        elif not isinstance(error, Conflict | NotFound):  # those are normal: the newer object is on its way (design 2)
            self.failed(key, str(error) or type(error).__name__)

    def look(self) -> None:
        """Settle the states anew; called when a phase has no item left, and now and then for the limits."""
        if self._began is None or self.result is RecoveryResult.COMPLETE:
            return
        if GATE in self._phase_of:
            self._look_at_gate()
        before = {phase: account.state for phase, account in self._accounts.items()}
        self._settle()
        for phase, account in self._accounts.items():
            if account.state is not before[phase]:
                self._tell(phase, account, before[phase])
        self.result = result(self.states)
        if self.states != before:
            self._changed(self)

    def _look_at_gate(self) -> None:
        shut = self._closed()
        if shut:
            self.failed(GATE, "; ".join(f"{reason}: {message}" for reason, message in shut.items()))
        else:
            del self._phase_of[GATE]
            self._accounts[RecoveryPhase.STEADY].left.discard(GATE)
            self._accounts[RecoveryPhase.STEADY].wrong.pop(GATE, None)

    def _settle(self) -> None:
        now = self._clock()
        progress = {
            phase: Progress(len(account.left), now - account.since if account.since is not None else 0.0)
            for phase, account in self._accounts.items()
        }
        for phase, state in settle(progress, self._limits).items():
            account = self._accounts[phase]
            account.state = state
            if account.since is None and state is not PhaseState.PENDING:
                account.since = now

    def _tell(self, phase: RecoveryPhase, account: _Account, before: PhaseState) -> None:
        if account.state in SETTLED and (account.ended is None or before is PhaseState.FAILED):
            account.ended = self._clock()
        if account.state is PhaseState.FAILED:
            _log.warning("a phase of the recovery failed; it is tried on", phase=phase.value, **self._why(account))
        elif before is PhaseState.FAILED:
            _log.info("a phase of the recovery has healed", phase=phase.value)

    def _why(self, account: _Account) -> dict[str, str]:
        first = next(iter(account.wrong.items()), None)
        return {
            "left": str(len(account.left)),
            "error": f"{_named(first[0])}: {first[1]}" if first else "it takes long",
        }

    # --- what is told

    @property
    def states(self) -> dict[RecoveryPhase, PhaseState]:
        """The state of each phase."""
        return {phase: account.state for phase, account in self._accounts.items()}

    def report(self) -> tuple[PhaseReport, ...]:
        """Each phase as a RecoveryReport lists it."""
        return tuple(self._line(phase, account) for phase, account in self._accounts.items())

    def seconds(self, phase: RecoveryPhase) -> float:
        """How long a phase took, or takes so far; its items are looked at from the first moment on."""
        account = self._accounts[phase]
        if self._began is None or account.state is PhaseState.PENDING:
            return 0.0
        return (account.ended if account.ended is not None else self._clock()) - self._began

    def _line(self, phase: RecoveryPhase, account: _Account) -> PhaseReport:
        wrong = account.wrong if account.state is not PhaseState.DONE else {}
        first = next((f"{_named(key)}: {text}" for key, text in wrong.items()), "")
        if account.state is PhaseState.DEGRADED:
            first = "it builds on " + ", ".join(needed for needed in NEEDS[phase])
        return PhaseReport(
            name=phase.value,
            state=account.state,
            milliseconds=int(self.seconds(phase) * 1000),
            objects=account.objects,
            errors=len(wrong),
            message=first[:1000],
        )

    def troubles(self) -> list[Trouble]:
        """What could not be looked at, in the order of the phases."""
        return [
            Trouble("" if key.kind == STEP else key.kind, key.namespace, key.name, text)
            for account in self._accounts.values()
            if account.state is PhaseState.FAILED
            for key, text in account.wrong.items()
        ]

    def degraded(self) -> str | None:
        """Why the recovery is degraded, None where it is not. For /health and the metric."""
        failed = [phase.value for phase, state in self.states.items() if state is PhaseState.FAILED]
        if not failed:
            return None
        first = next((f": {trouble.name}: {trouble.message}" for trouble in self.troubles()), "")
        return f"{', '.join(failed)} failed{first}"


def _named(key: Key) -> str:
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else key.name


@dataclass(frozen=True, slots=True)
class Step:
    """An item of a phase that is no reconcile of a key."""

    phases: Phases
    key: Key

    def done(self) -> None:
        """It succeeded."""
        self.phases.succeeded(self.key)

    def failed(self, message: str) -> None:
        """It did not, and is tried again."""
        self.phases.failed(self.key, message)

    def watching(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`work`, the outcome of which is noted."""

        async def watched() -> None:
            try:
                await work()
            except Exception as error:
                self.failed(str(error) or type(error).__name__)
                raise
            self.done()

        return watched
