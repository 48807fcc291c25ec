"""The command `hack/image/build`."""

from __future__ import annotations

import sys
from pathlib import Path

from controller.errors import HoldfastError
from controller.local.binaries import turn
from controller.settings import Settings
from hack.image import build, containerfile
from hack.node.layout import CHECKOUT

FILE = Path("hack/image/Containerfile")


def say(message: str) -> None:
    print(f"image: {message}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    if arguments == ["--containerfile"]:
        (CHECKOUT / FILE).write_text(containerfile.render())
        return 0
    if arguments:
        print("usage: hack/image/build [--containerfile]", file=sys.stderr)
        return 2
    try:
        directory = Settings().cache.expanduser() / "image"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with turn(directory, say):
            path = build.build(directory, build.find_uv(), say)
    except HoldfastError as error:
        say(error.message)
        return 1
    print(path)
    say(f"its name is {build.image_name(path)}; give it to the node: hack/cluster load {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
