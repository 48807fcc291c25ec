"""The images that every node has, and how it gets more; nothing is ever pulled."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hack.node import archive
from hack.node.layout import Node
from hack.node.needs import find
from hack.node.run import run

PAUSE = "holdfast.local/pause:1"
BUSYBOX = "holdfast.local/busybox:1"
IMPORT_SECONDS = 300.0


def make_basic(directory: Path) -> list[Path]:
    """Archives of the pause image and of a shell with the usual commands, both from busybox-static, in `directory`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    binary = find("busybox")
    assert binary is not None, "a package that is installed first"
    applets = run([binary, "--list-full"]).split()
    archives = []
    for name, command in ((PAUSE, ["/bin/sleep", "2147483647"]), (BUSYBOX, ["/bin/sh"])):
        with tempfile.TemporaryDirectory(dir=directory) as work:
            root = Path(work) / "root"
            _busybox_root(root, Path(binary), applets)
            target = directory / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
            layer = Path(work) / "layer.tar"
            archive.write_layer(layer, root)
            config = {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
            archive.write(target, name, [layer], config)
            archives.append(target)
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


def load(node: Node, path: Path) -> None:
    """Give the node the images of a docker or OCI archive; Pods use them with imagePullPolicy Never or IfNotPresent."""
    ctr = ["ctr", f"--address={node.socket}", "--namespace=k8s.io"]
    run([*ctr, "images", "import", str(path)], IMPORT_SECONDS)


def names(node: Node) -> set[str]:
    """What the node has."""
    ctr = ["ctr", f"--address={node.socket}", "--namespace=k8s.io"]
    return set(run([*ctr, "images", "list", "--quiet"]).split())
