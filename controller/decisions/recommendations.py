"""What only a person can do after a start, each with the exact command (requirements 7.1, 7.7). Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from controller.api.names import Names
from controller.api.recoveryreport import ACTIONS_LENGTH, RecommendedAction

MOST_OF_A_SORT = 5  # of one reason: the twentieth line of the same kind tells nothing new
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that could not be looked at.

    Args:
        kind: of an object, `Attempt` for a run directory, "" for a step.
        name: of the object, the run directory or the step.
        message: why.
    """

    kind: str
    namespace: str
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What is asked about.

    Args:
        deciding: `namespace/name` of jobs that wait for a person.
        restored: `namespace/name` of the first jobs that a restore left suspended, and how many there are.
        corrupt: what was set aside: paths, or `Kind namespace/name`.
        shut: why nothing is admitted: reason -> message.
        ownerless: whether too much looks ownerless at once, so that a person is asked.
        home: the state directory.
    """

    troubles: Sequence[Trouble] = ()
    deciding: Sequence[str] = ()
    restored: tuple[Sequence[str], int] = ((), 0)
    corrupt: Sequence[str] = ()
    shut: Mapping[str, str] = field(default_factory=dict)
    ownerless: bool = False
    home: str = ""


def recommended(found: Findings) -> tuple[RecommendedAction, ...]:
    """The most urgent first; at most ACTIONS_LENGTH."""
    return tuple(islice(_all(found), ACTIONS_LENGTH))


def _all(found: Findings) -> Iterator[RecommendedAction]:
    for reason, message in found.shut.items():
        place = {"DiskFull": f"df -h {shlex.quote(found.home)}"}
        yield _action(reason, message, place.get(reason, f"ls -ld {shlex.quote(found.home + '/runs')}"))
    if found.ownerless:
        text = "too many running attempts have no BatchJob; where their jobs were deleted on purpose this ends them"
        yield _action("ManyOwnerless", text, "holdfast adopt")
    for job in found.deciding[:MOST_OF_A_SORT]:
        namespace, _, name = job.partition("/")
        answers = "resume goes on in its workspace, where it is proved over; fail ends it"
        text = f"{job} waits for a decision; {answers}, and `holdfast describe` tells what happened"
        yield _action("NeedsDecision", text, f"holdfast decide -n {namespace} {name} restart")
    if found.restored[1]:
        yield _restored(*found.restored)
    for trouble in found.troubles[:MOST_OF_A_SORT]:
        yield _action("NotRecovered", f"{_what(trouble)}: {trouble.message}", _look(trouble, found.home))
    for name in found.corrupt[:MOST_OF_A_SORT]:
        yield _action("SetAside", f"{name} is damaged and was set aside; look at it, then remove it", _place(name))


def _restored(names: Sequence[str], count: int) -> RecommendedAction:
    some = ", ".join(names[:MOST_OF_A_SORT]) + (", …" if count > MOST_OF_A_SORT else "")
    text = f"{count} {'job' if count == 1 else 'jobs'} came back suspended from an archive ({some})"
    text += "; look with --dry-run at what is known of each, then let all go on, or some with `holdfast resume JOB`"
    return _action("Restored", text, "holdfast resume --restored --all-namespaces")


def _what(trouble: Trouble) -> str:
    return f"{trouble.kind} {trouble.namespace}/{trouble.name}" if trouble.namespace else trouble.name


def _look(trouble: Trouble, home: str) -> str:
    match trouble.kind:
        case "":
            return "holdfast status"
        case "Attempt":
            return f"ls -la {shlex.quote(f'{home}/runs/{trouble.name}')}"
        case "BatchJob":
            return f"holdfast describe -n {trouble.namespace} {trouble.name}"
        case "Repository":
            return f"holdfast repo -n {trouble.namespace} {trouble.name}"
    return f"kubectl describe {Names(trouble.kind).plural} -n {trouble.namespace} {trouble.name}"


def _place(name: str) -> str:
    """Of what was set aside: a path, or `Kind namespace/name`."""
    if name.startswith("/"):
        return f"ls -la {shlex.quote(name)}"
    kind, _, rest = name.partition(" ")
    namespace, _, own = rest.partition("/")
    if not own:
        return "holdfast status"
    return f"kubectl get {Names(kind).plural} -n {namespace} {own} -o yaml"


def _action(reason: str, message: str, command: str) -> RecommendedAction:
    return RecommendedAction(reason=reason, message=message[:MAX_TEXT], command=command[:MAX_TEXT])
