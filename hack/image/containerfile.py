"""The Containerfile that follows from the list of steps."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hack.image.steps import PYTHON, STEPS, Compile, Config, Debian, Project, Run, Wheels

HEADER = """\
# Written by hack/image/build --containerfile from hack/image/steps.py: change that.
# Not built by the project's own tests, which have no builder: they run the image that hack/image/build makes from the
# same steps. Build it in the root of the checkout: podman build -f hack/image/Containerfile -t holdfast .
"""


def render() -> str:
    """The whole file."""
    lines: list[str] = []
    for step in STEPS:
        lines += ["", *_lines(step)]
    return HEADER + "\n".join([*_wheels_stage(), *lines]) + "\n"


def _lines(step: object) -> Iterator[str]:
    match step:
        case Debian(suite, packages):
            yield f"FROM debian:{suite}-slim"
            yield "RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\"
            yield f"    {' '.join(packages)}"
        case Run(why, command):
            yield f"# {why}"
            yield f"RUN {command}"
        case Wheels(_, target) | Project(_, target):
            yield f"COPY --from=wheels {target} {target}"
        case Compile(target):
            yield f"RUN {' '.join(compile_command(target))}"
        case Config():
            yield from _config(step)


def _wheels_stage() -> Iterator[str]:
    """pip and what builds wheels stay out of the image."""
    suite = next(step.suite for step in STEPS if isinstance(step, Debian))
    yield f"FROM debian:{suite}-slim AS wheels"
    yield "RUN apt-get update && apt-get install -y --no-install-recommends python3-pip"
    for step in STEPS:
        match step:
            case Wheels(requirements, target):
                yield f"COPY {requirements} /source/{requirements}"
                yield "RUN pip install --require-hashes --only-binary :all: \\"
                yield f"    --target {target} -r /source/{requirements}"
            case Project(sources, target):
                yield from (f"COPY {source} /source/{source}" for source in sources)
                yield f"RUN pip install --no-deps --target {target} /source"


def _config(config: Config) -> Iterator[str]:
    yield from (f"ENV {name}={value}" for name, value in config.environment)
    yield f"USER {config.user}"
    yield f"WORKDIR {config.directory}"
    yield f"ENTRYPOINT {json.dumps(config.entrypoint)}"
    yield f"CMD {json.dumps(config.command)}"


def compile_command(target: str) -> list[str]:
    """Byte code that is the same for the same source, whatever its time."""
    return [f"python{PYTHON}", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", target]
