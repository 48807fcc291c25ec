"""What is known of a mirror without git: facts beside it, refs in its files, and the boot that saw it sound.

After a power cut a mirror is verified before it is used (requirement 5.2): it counts as clean while this boot has seen
an operation on it succeed and none has found it damaged since it was verified. What becomes of operations that are cut
off is known from the recorded status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from controller.api.repository import Repository
from controller.decisions.repository_health import Mirror
from controller.errors import Transient
from controller.files.atomic import write_atomic
from controller.repositories.facts import Damaged, boot_id, read_mirror
from controller.repositories.names import BadName
from controller.repositories.objects import has_object
from controller.repositories.places import CHECKED, SUSPECT, Places
from controller.repositories.refs import read_ref


async def look_at_mirror(places: Places, repository: Repository) -> Mirror | None:
    """Facts of the mirror; None: they cannot be read."""
    return await asyncio.to_thread(_look, places, repository)


async def mark_checked(places: Places, repository: Repository) -> None:
    """An operation on the mirror succeeded: this boot has seen it sound.

    Raises:
        Transient: the mark could not be written.
    """
    directory = places.repository(repository.metadata.namespace, repository.metadata.name)
    try:
        await asyncio.to_thread(_mark, directory)
    except OSError as error:
        raise Transient("MirrorNotMarked", f"{error.filename}: {error.strerror}") from error


def resolver(places: Places) -> Callable[[str, str, str], str | None]:
    """A function (namespace, repository, ref) -> commit, None where mirror, ref or commit is not there; reads files."""

    def resolve(namespace: str, name: str, ref: str) -> str | None:
        mirror = places.mirror(namespace, name)
        try:
            commit = read_ref(mirror, ref)
            return commit if commit != ref or has_object(mirror, ref) else None
        except (OSError, BadName):
            return None

    return resolve


def _look(places: Places, repository: Repository) -> Mirror | None:
    try:
        mirror = places.mirror(repository.metadata.namespace, repository.metadata.name)
        if read_mirror(mirror) is None:
            return Mirror(exists=False)
        clean = _read(mirror.parent / CHECKED) == boot_id() and not (mirror.parent / SUSPECT).exists()
        return Mirror(True, clean, read_ref(mirror, repository.spec.branch) or "")
    except (OSError, Damaged, BadName):
        return None


def _mark(directory: Path) -> None:
    if directory.exists() and _read(directory / CHECKED) != boot_id():
        write_atomic(directory / CHECKED, boot_id().encode("ascii"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
