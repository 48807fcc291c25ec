"""checkout with an `origin` of its own: what a job in a Pod pushes to before that is published (requirement 5.5).

The bare repository is to the checkout what the mirror is on a host: `refs/upstream/*` is what the remote has, jobs push
`refs/heads/*`, objects are borrowed from it. So the same command works on both. It is the job's to spoil: nobody trusts
anything of it afterwards. Standard library only.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from controller.files.trees import remove_tree
from controller.repositories import refs
from controller.repositories.operations import git as calls
from controller.repositories.operations.checkout import check_out, check_supported, name_refs, switch_to_branch
from controller.repositories.operations.durable import put_in_place
from controller.repositories.operations.git import Secrets
from controller.repositories.operations.mirror import FETCH_HEADS, FETCH_TAGS
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.remote_checkout import fetch_commit, kept_checkout
from controller.repositories.orders import Checkout
from controller.repositories.trees import making

# As in a mirror: what the job pushed is not lost to its next push, and no object is pruned behind the checkout's back.
_CONFIG = """\
[gc]
\tauto = 0
[maintenance]
\tauto = false
[receive]
\tautogc = false
\tdenyNonFastForwards = true
\tdenyDeletes = true
"""


def checkout_from_origin(order: Checkout, secrets: Secrets) -> Outcome:
    """Make both; what an earlier try has put in place is made anew, since nobody has worked in it yet.

    Those that are kept beyond the Pod stay; the checkout gets its name last, so where it is there both are.

    Raises:
        Failed, BadName, OSError: there is no checkout then.
    """
    if (kept := kept_checkout(order)) is not None:
        return kept
    origin, target = Path(order.origin), Path(order.target)
    object_format = "sha256" if len(order.commit) == 64 else "sha1"
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(making(origin.parent, origin.name, order.id))
        directory = stack.enter_context(making(target.parent, target.name, order.id))
        _fill(order, bare, object_format, secrets)
        remove_tree(origin)
        put_in_place(bare, origin, durable=order.kept)
        check_out(origin, directory, order.commit, object_format)
        name_refs(origin, directory, copied=False, author=(order.author_name, order.author_email))
        if refs.read_head(origin, order.branch, refs.UPSTREAM) is not None:
            switch_to_branch(origin, directory, order.branch, order.commit)
        remove_tree(target)
        put_in_place(directory, target, durable=order.kept)
    return Outcome(commit=order.commit, method="Checkout", object_format=object_format)


def _fill(order: Checkout, bare: Path, object_format: str, secrets: Secrets) -> None:
    local = calls.local(bare)
    local.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", ".")
    with (bare / "config").open("a") as file:
        file.write(_CONFIG)
    remote = calls.remote(bare, order.url, order.schemes.split(","), order.stall_seconds, secrets)
    fetch_commit(remote, order.url, order.commit, (FETCH_HEADS, FETCH_TAGS))
    local.run("pack-refs", "--all")
    if refs.read_head(bare, order.branch, refs.UPSTREAM) is not None:
        local.run("symbolic-ref", "HEAD", refs.HEADS + order.branch)
    check_supported(local, order.commit)
