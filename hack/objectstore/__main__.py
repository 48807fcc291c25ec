"""`python -m hack.objectstore`: print the path of the S3 server of the tests, built when it is not there."""

from __future__ import annotations

import sys

from controller.errors import HoldfastError
from controller.settings import Settings
from hack.objectstore.build import find_or_build


def main() -> int:
    """Returns the exit status."""
    try:
        print(find_or_build(Settings().cache, lambda line: print(line, file=sys.stderr, flush=True)))
    except HoldfastError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
