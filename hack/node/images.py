"""Images made from directories, as docker archives, and how the node gets them; nothing is ever pulled.

An archive is the same byte for byte for the same files: names are sorted, times are zero.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hack.node.layout import Node
from hack.node.needs import find
from hack.node.run import run

PAUSE = "holdfast.local/pause:1"
BUSYBOX = "holdfast.local/busybox:1"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
IMPORT_SECONDS = 300.0


def write_archive(target: Path, name: str, root: Path, config: Mapping[str, Any]) -> None:
    """Write the file system below `root` as an image of one layer; appears under `target` only when complete.

    Args:
        name: with its tag; the registry part need not exist.
        config: of the OCI image specification: Cmd, Entrypoint, Env, User, WorkingDir.
    """
    temporary = target.with_name(f"{target.name}.tmp.{os.getpid()}")
    try:
        with tempfile.TemporaryFile(dir=target.parent) as layer:
            with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add_tree(tar, root)
            size = layer.tell()
            layer.seek(0)
            digest = hashlib.file_digest(layer, "sha256").hexdigest()
            layer.seek(0)
            image = json.dumps(
                {
                    "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
                    "os": "linux",
                    "config": dict(config),
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
                    "history": [{"created_by": "holdfast"}],
                },
                sort_keys=True,
            ).encode()
            config_name = f"{hashlib.sha256(image).hexdigest()}.json"
            manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
            with tarfile.open(temporary, "w") as archive:
                _add_bytes(archive, config_name, image)
                _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
                info = tarfile.TarInfo("layer.tar")
                info.size = size
                archive.addfile(info, layer)
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def _add_tree(tar: tarfile.TarFile, root: Path) -> None:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.mtime = 0
        info.uname = info.gname = ""
        return info

    for path in sorted(root.rglob("*")):
        tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def make_basic(node: Node) -> list[Path]:
    """The pause image and a shell with the usual commands, both from busybox-static."""
    node.images.mkdir(mode=0o700, exist_ok=True)
    binary = find("busybox")
    assert binary is not None, "a package that is installed first"
    applets = run([binary, "--list-full"]).split()
    archives = []
    for name, command in ((PAUSE, ["/bin/sleep", "2147483647"]), (BUSYBOX, ["/bin/sh"])):
        with tempfile.TemporaryDirectory(dir=node.images) as work:
            root = Path(work) / "root"
            _busybox_root(root, Path(binary), applets)
            archive = node.images / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
            write_archive(archive, name, root, {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]})
            archives.append(archive)
    return archives


def _busybox_root(root: Path, binary: Path, applets: list[str]) -> None:
    for directory in ("bin", "etc", "root", "tmp", "var", "home"):
        (root / directory).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy(binary, root / "bin" / "busybox")
    for applet in applets:
        path = root / applet
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.symlink_to("/bin/busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")


def load(node: Node, archive: Path) -> None:
    """Give the node the images of a docker or OCI archive; Pods use them with imagePullPolicy Never or IfNotPresent."""
    ctr = ["ctr", f"--address={node.socket}", "--namespace=k8s.io"]
    run([*ctr, "images", "import", str(archive)], IMPORT_SECONDS)


def names(node: Node) -> set[str]:
    """What the node has."""
    ctr = ["ctr", f"--address={node.socket}", "--namespace=k8s.io"]
    return set(run([*ctr, "images", "list", "--quiet"]).split())
