"""manifest.json, the first member of an archive: what is in it and how to know that it is whole (requirement 7.10).

A change that older versions of Holdfast would misread raises FORMAT; a new field that they may ignore does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import Field, ValidationError

from controller.api.model import Model, Time
from controller.errors import Terminal

FORMAT = 1
NAME = "manifest.json"
MAX_BYTES = 16 * 1024**2
SKIPPABLE = (0x184D2A50).to_bytes(4, "little")  # magic number of a frame that readers leave out
TRAILER_BYTES = 4 + 4 + 32
OBJECTS, AUDIT = "objects/", "audit/"


class Part(Model):
    """One member behind the manifest.

    Args:
        name: of the member: `objects/<Kind>.jsonl`, or `audit/<file>`.
        kind: of its objects, "" for what holds none.
        count: lines of a part that holds objects.
    """

    name: str = Field(pattern=r"^(objects|audit)/[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: str = ""
    count: int = Field(default=0, ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Model):
    """See the module.

    Args:
        format: FORMAT of the version that wrote it.
        controller: version that wrote it.
        cluster: uid of the namespace kube-system that it is a copy of.
        resource_version: that all objects were read at; "" where the kinds were read at versions of their own.
        namespaces: that its objects are in.
    """

    format: int
    controller: str = ""
    cluster: str = ""
    snapshot: str = ""
    taken_at: Time
    resource_version: str = ""
    consistency: str = ""
    namespaces: tuple[str, ...] = ()
    parts: tuple[Part, ...]

    @property
    def id(self) -> str:
        """Identity of the content: 16 hex digits that follow from all checksums."""
        text = "\n".join(f"{part.name} {part.sha256}" for part in self.parts)
        return hashlib.sha256(f"{self.cluster}\n{self.taken_at.isoformat()}\n{text}".encode()).hexdigest()[:16]

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """Kind and number of objects."""
        return tuple((part.kind, part.count) for part in self.parts if part.kind)


def trailer(sha256: bytes) -> bytes:
    """What ends an archive: the checksum of all before it, in a frame that zstandard skips (RFC 8878, 3.1.2)."""
    return SKIPPABLE + len(sha256).to_bytes(4, "little") + sha256


def parse(data: bytes, where: str) -> Manifest:
    """The manifest of the archive `where`.

    Raises:
        Terminal: it is of a newer format, or damaged.
    """
    try:
        bare = _Version.model_validate_json(data)
        if bare.format > FORMAT:
            text = (
                f"{where} is of format {bare.format}, written by Holdfast {bare.controller or '?'}; this version knows "
                f"formats up to {FORMAT}: restore with that version or a newer one"
            )
            raise Terminal("NewerFormat", text)
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(each) for each in first["loc"])
        raise damaged(where, f"its manifest is wrong at {field or 'its beginning'}: {first['msg']}") from error


class _Version(Model):
    """What any format, also a later one, has."""

    format: int
    controller: str = ""


def damaged(where: str, what: str) -> Terminal:
    """The error about an archive that is not as it was written."""
    return Terminal("ArchiveDamaged", f"{where}: {what}; nothing was restored from it: take another archive")


def unique_names(parts: Sequence[Part]) -> bool:
    """Whether no two parts have the same name."""
    return len({part.name for part in parts}) == len(parts)
