"""How restored objects are marked (requirement 7.10). Everything here is metadata: a wiped status loses none of it.

An object is created without a status, so a job that had finished would look new. RESTORING holds it back until the
status that `restore` writes is there, which its condition Restored says; a controller that runs meanwhile, or finds the
object after a crash of `restore`, does nothing with it.
"""

from __future__ import annotations

from controller.api.conditions import Condition, find
from controller.api.model import ObjectMeta

RESTORED = "holdfast.dev/restored"  # label: id of the archive that the object came from
RESUMABLE = "holdfast.dev/restored-suspended"  # label: id of the archive; restore suspended the job, nobody else did
RESTORING = "holdfast.dev/restoring"  # annotation: id of the archive whose status it waits for
RESTORED_ATTEMPT = "holdfast.dev/restored-attempt"  # annotation: its last attempt, whose run directory is here
TOKEN_FLOOR = "holdfast.dev/lock-token-floor"  # annotation of a Repository: largest fencing token ever given

CONDITION = "Restored"
REASON = "Restored"  # status.reason of a job that a restore left suspended


def held(meta: ObjectMeta, conditions: tuple[Condition, ...]) -> bool:
    """Whether nothing may be done with the object, since its status is not restored."""
    archive = meta.annotations.get(RESTORING)
    if archive is None:
        return False
    told = find(conditions, CONDITION)
    return told is None or told.status != "True" or archive not in told.message


def restored_attempt(meta: ObjectMeta, newest: int | None) -> str | None:
    """Name of the run directory that the object's newest attempt had before it was restored; None: there is none.

    Args:
        newest: number of its newest attempt. After a further one the old directory is nobody's.
    """
    name = meta.annotations.get(RESTORED_ATTEMPT, "")
    return name if newest is not None and name.endswith(f".{newest}") else None


def token_floor(meta: ObjectMeta) -> int:
    """Fencing tokens of the Repository begin above this."""
    text = meta.annotations.get(TOKEN_FLOOR, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
