"""The command `hack/cluster`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path

from controller.errors import HoldfastError
from controller.local import binaries, records
from controller.settings import Settings
from hack.node import down, images, layout, needs, network, up
from hack.node.programs import STOP_SECONDS


def say(message: str) -> None:
    print(f"cluster: {message}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/cluster", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "load", "archives", "prepare", "helm"))
    parser.add_argument("archive", nargs="?", type=Path, help="load: an image for the node; archives: where to")
    parser.add_argument("--dir", type=Path, default=layout.default_directory(), help="state directory [%(default)s]")
    chosen = parser.parse_args(arguments)
    path = chosen.dir.expanduser().resolve()
    try:
        if chosen.command == "helm":
            print(needs.find_helm(Settings().cache, say))
            return 0
        needs.check_machine()
        if chosen.command == "load":
            return _load(path, chosen.archive)
        if chosen.command == "archives":
            return _archives(chosen.archive)
        if chosen.command == "prepare":
            needs.prepare(Settings().cache, say)
            needs.find_helm(Settings().cache, say)
            return 0
        return {"up": _up, "down": _down, "status": _status}[chosen.command](path)
    except HoldfastError as error:
        say(error.message)
        return 1
    except KeyboardInterrupt:
        say("interrupted; hack/cluster down removes what is there")
        return 130


def _up(path: Path) -> int:
    started = time.monotonic()
    node = asyncio.run(up.up(path, Settings().cache, say))
    say(f"{node.name} is Ready after {time.monotonic() - started:.1f} s; next:")
    print(f"export KUBECONFIG={node.home.kubeconfig}")
    kubectl = binaries.find_or_make(Settings().cache, say).kubectl
    print(f"{'kubectl' if shutil.which('kubectl') else kubectl} get nodes")
    return 0


def _down(path: Path) -> int:
    with up.machine_turn(say):
        if not asyncio.run(down.down(path, say)):
            say(f"there is no node in {path}")
    return 0


def _status(path: Path) -> int:
    node = layout.read(path)
    print(f"nodes on this machine: {', '.join(sorted(network.links())) or 'none'}")
    if node is None:
        print(f"no node in {path}; next: hack/cluster up")
        return 1
    print(f"{node.name} in {path}: API server {node.server}, Pods {node.pods}, the host is {node.host_address}")
    alive = True
    for name in reversed(list(STOP_SECONDS)):
        record = records.read(node.home.record(name))
        runs = record is not None and record.alive
        alive = alive and runs
        print(f"{name:20} {record.state if record is not None and runs else 'not running'}")
    return 0 if alive else 1


def _load(path: Path, archive: Path | None) -> int:
    node = layout.read(path)
    if node is None or archive is None:
        say("usage: hack/cluster load ARCHIVE, with the node up")
        return 2
    images.load(node, archive)
    return 0


def _archives(directory: Path | None) -> int:
    if directory is None:
        say("usage: hack/cluster archives DIR")
        return 2
    needs.install_packages(say, {"busybox": "busybox-static"})
    for path in images.make_basic(directory):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
