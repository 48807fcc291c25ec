"""workspace: a job's own checkout, copied from a base or checked out from the mirror, put in place by one rename (5.3).

Where files can share blocks every workspace is copied from a base, which the first one makes; elsewhere only from one
that was asked for, because a checkout that borrows the mirror's objects is quicker than a full copy.
Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controller.repositories import refs
from controller.repositories.facts import Damaged, MirrorFacts, WorkspaceFacts, read_workspace, survived
from controller.repositories.names import check_ref
from controller.repositories.operations import base, checkout
from controller.repositories.operations import git as calls
from controller.repositories.operations.copy import can_reflink, copy_tree
from controller.repositories.operations.durable import put_in_place
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.mirror import locked, sound_mirror
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.stale import remove_stale
from controller.repositories.orders import Workspace
from controller.repositories.places import BASES, base_key
from controller.repositories.results import Reason
from controller.repositories.trees import making, remove, remove_made


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be made of what; `key` is empty where it is checked out from the mirror."""

    mirror: Path
    facts: MirrorFacts
    commit: str
    key: str
    method: str


def workspace(order: Workspace) -> Outcome:
    """Make it; one that an earlier try of this boot has put in place stays.

    Raises:
        Failed, BadName, OSError: there is no workspace then.
    """
    target = Path(order.target)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(Path(order.repository), order.lock_seconds, alone=False):
        remove_made(target.parent, target.name)
        made = _made_before(target)
        if made is None:
            plan = _plan(order)
            remove_stale(plan.mirror)  # of a push that was killed: it would refuse those of this job
            _check(plan, order)
            with making(target.parent, target.name, order.id) as directory:
                _build(plan, order, directory)
                put_in_place(directory, target, durable=order.durable)
            return Outcome(commit=plan.commit, method=plan.method, object_format=plan.facts.object_format)
    return Outcome(commit=made.commit, method=made.method)


def _made_before(target: Path) -> WorkspaceFacts | None:
    try:
        facts = read_workspace(target)
    except Damaged:
        facts = None
    if facts is not None and survived(facts):
        return facts
    if target.exists():
        remove(target)
    return None


def _plan(order: Workspace) -> _Plan:
    mirror, facts = sound_mirror(Path(order.repository))
    commit = order.commit or refs.read_ref(mirror, order.ref)
    if commit is None:
        message = f"the remote has no branch or tag {order.ref}: correct the ref, or push it"
        raise Failed(Reason.REF_NOT_FOUND, message)
    reflinks = can_reflink(mirror.parent)
    key = order.key or (base_key(commit, ()) if reflinks else "")
    return _Plan(mirror, facts, commit, key, ("Reflink" if reflinks else "Copy") if key else "Checkout")


def _check(plan: _Plan, order: Workspace) -> None:
    """A base was looked at when it was made."""
    check_ref(order.ref)
    if not plan.key or not base.is_made(plan.mirror.parent / BASES / plan.key):
        git = calls.local(plan.mirror)
        checkout.check_there(git, plan.commit)
        checkout.check_supported(git, plan.commit)


def _build(plan: _Plan, order: Workspace, directory: Path) -> None:
    if plan.key:
        source = plan.mirror.parent / BASES / plan.key
        _have_base(plan, order, source)
        with base.in_use(source):
            copy_tree(source, directory)
    else:
        checkout.check_out(plan.mirror, directory, plan.commit, plan.facts.object_format)
    author = (order.author_name, order.author_email)
    checkout.name_refs(plan.mirror, directory, copied=bool(plan.key), author=author)
    if refs.read_head(plan.mirror, order.ref) or refs.read_head(plan.mirror, order.ref, refs.UPSTREAM):
        checkout.switch_to_branch(plan.mirror, directory, order.ref, plan.commit)
    checkout.sign(directory, checkout.facts_of(order.id, order.ref, plan.commit, plan.key, plan.method))


def _have_base(plan: _Plan, order: Workspace, source: Path) -> None:
    """The plain one is made here; a prepared one has an operation of its own."""
    if base.is_made(source):
        return
    if order.key and order.key != base_key(plan.commit, ()):
        raise Failed(Reason.PREPARATION_FAILED, f"{source} is not there: it has to be prepared again")
    base.make(plan.mirror, plan.key, plan.commit, plan.facts.object_format, order, lambda _: None)
