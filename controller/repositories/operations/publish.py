"""publish: push one recorded commit from the mirror to the remote; nothing is ever forced (issue 4, push policy).

Done again after a kill it finds its commit at the remote, also below commits that came after it. A remote that is away
is asked again for most of the operation's run time: the command that made the commit must not run again for that.
Standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from controller.repositories import refs
from controller.repositories.names import check_ref, is_commit
from controller.repositories.operations import git as calls
from controller.repositories.operations.failures import Failed, failure_of
from controller.repositories.operations.fetch import pull
from controller.repositories.operations.git import Git, Secrets
from controller.repositories.operations.mirror import locked, sound_mirror
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.stale import remove_stale
from controller.repositories.orders import Publish
from controller.repositories.results import Reason

WAY_OUT = (
    "the commits stay in the mirror, where later jobs on {branch} begin and are refused too, until one of them runs "
    "`git pull --no-rebase origin refs/upstream/{branch}` before its push"
)
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds between tries; doubled


def publish(order: Publish, secrets: Secrets) -> Outcome:
    """Push it.

    Raises:
        Failed: the remote did not take it: NonFastForward, RemoteRejected, or it could not be asked.
    """
    check_ref(order.branch)
    began = time.monotonic()
    with locked(Path(order.repository), order.lock_seconds, alone=False):
        mirror, facts = sound_mirror(Path(order.repository), order.url)
        if not is_commit(order.commit) or calls.local(mirror).call("cat-file", "-e", f"{order.commit}^{{commit}}")[0]:
            raise Failed(Reason.REF_NOT_FOUND, f"the mirror has no commit {order.commit}")
        remove_stale(mirror)
        git = calls.remote(mirror, order.url, order.schemes.split(","), order.stall_seconds, secrets)
        message = patiently(lambda: _push(git, order), began + order.patience_seconds - time.monotonic())
        git.run("pack-refs", "--all")
        return Outcome(commit=order.commit, message=message, object_format=facts.object_format)


def patiently(push: Callable[[], str], seconds: float) -> str:
    """Push, and again while the remote cannot be reached and there is time; raises Failed as `push` does."""
    until, wait = time.monotonic() + seconds, FIRST_WAIT
    while True:
        try:
            return push()
        except Failed as failure:
            if failure.reason is not Reason.REMOTE_UNREACHABLE or time.monotonic() + wait > until:
                raise
            print(f"{failure}; again in {wait:g} s", flush=True)
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def _push(git: Git, order: Publish) -> str:
    target = refs.HEADS + order.branch
    refspec = f"{order.commit}:{target}"
    status, output, errors = git.call("push", "--porcelain", "--progress", "--no-follow-tags", "--", "origin", refspec)
    if status == 0:
        # git follows the push with refs/upstream/* where the configuration maps it; said again it is certain.
        git.run("update-ref", refs.UPSTREAM + order.branch, order.commit)
        return ""
    refused = [line for line in output.splitlines() if line.startswith("!")]
    failure = failure_of("\n".join([*refused, errors]) if refused else errors, "push")
    if failure.reason is not Reason.NON_FAST_FORWARD:
        raise failure
    pull(git)
    theirs = refs.read_head(git.directory, order.branch, refs.UPSTREAM)
    if theirs is None or git.call("merge-base", "--is-ancestor", order.commit, theirs)[0] != 0:
        raise Failed(failure.reason, f"{failure.outcome.message}; {WAY_OUT.format(branch=order.branch)}")
    return f"the remote has it already, below {theirs[:12]}"
