"""Follows one job: its output, attempt after attempt, until it has ended.

The run directories are read directly and the job's status is asked for now and then; while the API server or the
controller is away the output goes on, and the end is told once somebody can tell it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from controller.cli import runs, view
from controller.cli.podlogs import PodOutput, location_of, runs_as_pod
from controller.cli.session import Session, note
from controller.cli.tail import Tail
from controller.errors import HoldfastError
from controller.kube.errors import NotFound

Object = dict[str, Any]
Sink = Callable[[bytes], None]

LOOK_SECONDS = 0.05  # how often the output file is looked at
EAGER_SECONDS = 10.0  # a job that is younger, or whose end is on disk already, is asked for more often
EAGER_ASK_SECONDS, ASK_SECONDS, AWAY_SECONDS = 0.2, 1.0, 3.0
ASK_LIMIT_SECONDS = 2.0
TELL_PHASES = ("Waiting", "Suspended", "Queued")


class Watch:
    """A job as it was last seen; `refresh` asks the API server when it is time."""

    def __init__(self, session: Session, name: str, uid: str, job: Object | None, *, talk: bool = True) -> None:
        self._session = session
        self._name = name
        self.uid = uid
        self.job = job
        self.deleted = False
        self._talk = talk
        self._began = time.monotonic()
        self._asked = 0.0
        self._away = job is None
        self._told = view.phase(job) if job else ""
        self._hurry = False
        self._pods: dict[int, PodOutput] = {}

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: the job ended or was deleted."""
        return self.deleted or (self.job is not None and view.ended(self.job))

    def newest(self) -> int | None:
        """Number of the newest attempt that is known of, by status or by run directory."""
        attempt = view.attempt(self.job) if self.job else None
        numbers = [run.number for run in runs.of_uid(self.uid)] if attempt is None or self._away else []
        return max([*numbers, *([int(attempt["number"])] if attempt else [])], default=None)

    def over(self, number: int) -> bool:
        """Whether attempt `number` is over, by its run directory or by the status; then all of its output is there."""
        run, over = self.run(number), self._is_over(number)
        if isinstance(run, PodOutput):
            run.refresh(location_of(self.job or {}, number), over=over)
        return over

    def _is_over(self, number: int) -> bool:
        run = self.run(number)
        if run is not None and run.over:
            self._hurry = True
            return True
        attempt = view.attempt(self.job) if self.job else None
        if self.ended or (attempt is not None and int(attempt["number"]) > number):
            return True
        return attempt is not None and attempt.get("finishedAt") is not None and int(attempt["number"]) == number

    def run(self, number: int) -> runs.Run | PodOutput | None:
        """The run directory of attempt `number`, if it is here; what is read of its Pod, where it is one."""
        if number in self._pods:
            return self._pods[number]
        if self.job is not None and runs_as_pod(self.job, number):
            made = self._pods[number] = PodOutput(self._session.cluster, self.uid, number)
            made.refresh(location_of(self.job, number), over=self._is_over(number))
            return made
        if self.job is not None:
            return runs.find(self.job, number)
        return next((run for run in runs.of_uid(self.uid) if run.number == number), None)

    def pause(self) -> None:
        """Wait a moment, and ask the API server if it is time."""
        time.sleep(LOOK_SECONDS)
        eager = self._hurry or time.monotonic() - self._began < EAGER_SECONDS
        interval = AWAY_SECONDS if self._away else EAGER_ASK_SECONDS if eager else ASK_SECONDS
        if time.monotonic() - self._asked >= interval:
            self._ask()
            self._asked = time.monotonic()

    def _ask(self) -> None:
        """A server that does not answer holds the output up for at most ASK_LIMIT_SECONDS, and is asked more seldom."""
        self._hurry = False
        try:
            cluster = self._session.cluster
            cluster.timeout_seconds = ASK_LIMIT_SECONDS
            job = cluster.get("BatchJob", self._name)
        except NotFound:
            self.deleted = True
            return
        except HoldfastError as error:
            if not self._away:
                self._away = True
                self._say(f"{error.message}; still following {self._name}")
            return
        if self._away and self.job is not None:
            self._say("the API server answers again")
        self._away = False
        if view.uid(job) != self.uid:
            self.deleted = True
            return
        self.job = job
        self._tell(job)

    def _tell(self, job: Object) -> None:
        phase = view.phase(job)
        if phase != self._told and phase in TELL_PHASES:
            self._say(f"{self._name} is {describe_wait(job)}")
        self._told = phase

    def _say(self, message: str) -> None:
        if self._talk:
            note(message)


def describe_wait(job: Object) -> str:
    """A clause about a job that does not run, with what to do where a person is asked."""
    text = view.why(job)
    question = view.condition(job, "NeedsDecision")
    if question is not None:
        said = question.get("message")
        return f"{text}: {said + '; ' if said else ''}answer with `holdfast decide {view.name(job)} Restart|Fail`"
    position = view.status(job).get("queuePosition")
    if view.phase(job) == "Queued" and position:
        return f"{text}, position {position} of queue {job['spec'].get('queue', 'default')}"
    if view.phase(job) == "Suspended":
        return f"{text}; go on with `holdfast resume {view.name(job)}`"
    return text


def follow(watch: Watch, sink: Sink, first: int | None, offset: int = 0, *, only: bool = False) -> None:
    """Give the output of the job's attempts to `sink` until the job has ended.

    Args:
        first: number of the attempt to begin with; None: the newest, once there is one.
        offset: where to begin in its output, in bytes.
        only: stop at the end of that attempt.
    """
    number = first
    while True:
        newest = watch.newest()
        number = newest if number is None else number
        if number is not None and newest is not None and newest >= number:
            _attempt(watch, sink, number, offset)
            if only:
                return
            number, offset = number + 1, 0
        elif watch.ended:
            return
        else:
            watch.pause()


def _attempt(watch: Watch, sink: Sink, number: int, offset: int) -> None:
    tail: Tail | None = None
    told = False
    while True:
        over = watch.over(number)  # before reading: what is there at the end is read after it
        run = watch.run(number) if tail is None else None
        if run is not None:
            tail = Tail(run.output, offset)
        if tail is None and watch.job is not None and over and not told:
            told = True
            note(elsewhere(watch.job, number))
        while tail is not None and (data := tail.read()):
            sink(data)
        if over:
            return
        watch.pause()


def elsewhere(job: Object, number: int) -> str:
    """Why the output of an attempt cannot be shown here, and where it may be."""
    output = view.status(job).get("output") or {}
    attempt = view.attempt(job) or {}
    place = output.get("location") if attempt.get("number") == number else ""
    if place:
        return f"the output of attempt {number} of {view.name(job)} is not on this host: it was written to {place}"
    return f"there is no output of attempt {number} of {view.name(job)} on this host (HOLDFAST_HOME decides where)"
