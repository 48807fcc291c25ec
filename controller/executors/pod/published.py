"""What became of a push that a Pod publishes: from the state and the termination message of its own container.

That container is ours, so its message is believed; the command has none that is looked at here.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from controller.api.text import COMMIT
from controller.decisions.observed import COMMIT_UNKNOWN, NOT_PUBLISHED, PUBLISHED, Publication
from controller.executors.pod.pending import QUIET
from controller.executors.pod.views import NOT_BEGUN, UNKNOWN, PodView, Terminated

KILLED = "OperationKilled"  # as on a host: it could not say how far it came
# Of a Job that is Complete: its Pod had succeeded, and was deleted before it was asked.
UNASKED = Publication(COMMIT_UNKNOWN, "the remote has what it pushed; its Pod was deleted before it was asked for that")


def publication_of(pod: PodView) -> Publication | None:
    """None where the Pod publishes nothing, or the command has not succeeded."""
    command, ended, waits = pod.terminated, pod.publish_ended, pod.publish_waits
    if not pod.publishes or command is None or command.code != 0 or command.reason in NOT_BEGUN:
        return None
    if ended is not None:
        return _ended(ended)
    if pod.over:
        return Publication(NOT_PUBLISHED, "the Pod ended before that began")
    if waits is None or waits.reason in QUIET:
        return Publication()
    return Publication(message=f"{waits.reason}: {waits.message}".removesuffix(": "))


def _ended(ended: Terminated) -> Publication:
    said = _said(ended.message)
    if ended.code == 0:
        return said if said.reason == PUBLISHED else Publication(PUBLISHED)
    if said.reason not in ("", PUBLISHED):
        return Publication(said.reason, said.message)
    if ended.reason == "OOMKilled":
        return Publication(KILLED, "it took more memory than the limit of the Pod, and the remote may have it")
    if ended.reason in NOT_BEGUN - {UNKNOWN}:
        return Publication(NOT_PUBLISHED, f"{ended.reason}: {ended.message}".removesuffix(": "))
    return Publication(KILLED, f"it was cut off (exit code {ended.code}), and the remote may have it")


def _said(text: str) -> Publication:
    try:
        said = json.loads(text)
        commit = str(said.get("commit", ""))
        found = Publication(str(said["reason"])[:128], str(said["message"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Publication()
    return Publication(found.reason, found.message, commit if re.fullmatch(COMMIT, commit) else "")


def publication_note(found: Publication | None) -> dict[str, str] | None:
    """As JSON for the Job's annotation; `views` reads it."""
    return asdict(found) if found is not None else None
