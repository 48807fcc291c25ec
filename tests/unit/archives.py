"""Small archives, written by the product's own writer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controller.recovery.archive.manifest import FORMAT, Manifest
from controller.recovery.archive.write import SpooledKind, pack

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def item(name: str, uid: str = "", **more: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "managedFields": [{"manager": "x"}]}
    return {"metadata": meta | more.pop("metadata", {}), "spec": {"command": ["true"]}, **more}


def archive(path: Path, kinds: dict[str, list[dict[str, Any]]], **changes: Any) -> Manifest:
    """Write one at `path`; `changes` are made to its manifest."""
    spool = path.parent / f"{path.name}.spool"
    spool.mkdir()
    spooled = [SpooledKind(spool, kind) for kind in kinds]
    for each in spooled:
        each.add(kinds[each.kind])
    parts = tuple(each.close() for each in spooled)
    manifest = Manifest(format=FORMAT, controller="1", cluster="c", taken_at=AT, parts=parts)
    manifest = manifest.model_copy(update=changes)
    pack(path, manifest, [each.path for each in spooled])
    return manifest
