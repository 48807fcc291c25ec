"""Docker archives from directories. The same files make the same bytes: names are sorted, times are zero."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_layer(target: Path, root: Path, only: Sequence[str] = (".",)) -> None:
    """Write what is below `root` as a layer; `target` appears only when it is complete.

    Args:
        only: paths in `root` that belong to the layer; the directories above them are of the layers below.
    """
    with _appears(target) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        for start in only:
            top = root / start
            for path in sorted([top, *top.rglob("*")]):
                if path != root:
                    tar.add(path, str(path.relative_to(root)), recursive=False, filter=_plain)


def write(target: Path, name: str, layers: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Write an image; `target` appears only when it is complete.

    Args:
        name: with its tag; the registry part need not exist.
        layers: tar files, the lowest first.
        config: of the OCI image specification: Cmd, Entrypoint, Env, User, WorkingDir.
    """
    digests = [_sha256(layer) for layer in layers]
    image = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            "history": [{"created_by": "holdfast"} for _ in layers],
        },
        sort_keys=True,
    ).encode()
    names = [f"{digest}.tar" for digest in digests]
    config_name = f"{hashlib.sha256(image).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": names}]
    with _appears(target) as temporary, tarfile.open(temporary, "w") as archive:
        for path, content in ((config_name, image), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for layer, path in zip(layers, names, strict=True):
            info = tarfile.TarInfo(path)
            info.size = layer.stat().st_size
            with layer.open("rb") as file:
                archive.addfile(info, file)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = 0
    info.uname = info.gname = ""
    return info


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _appears(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f"{target.name}.tmp.{os.getpid()}")
    try:
        yield temporary
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
