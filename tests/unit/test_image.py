"""The image has one list of steps; the Containerfile and the archive both come from it."""

from __future__ import annotations

import re

import pytest

from hack.image import build, containerfile
from hack.image.__main__ import FILE
from hack.image.steps import STEPS, Compile, Config, Debian, Project, Run, Wheels
from hack.node.layout import CHECKOUT


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (CHECKOUT / name).read_text(), re.MULTILINE))


def test_the_containerfile_is_what_the_steps_say() -> None:
    """Issue 7.4: both from one list; `hack/image/build --containerfile` writes it anew."""
    text = (CHECKOUT / FILE).read_text()
    assert text == containerfile.render()
    assert "Not built" in text


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_no_step_is_left_out_of_the_containerfile(step: object) -> None:
    """Issue 7.4: what the archive gets, the Containerfile has."""
    text = containerfile.render()
    match step:
        case Debian(suite, packages):
            assert f"debian:{suite}-slim\n" in text
            assert " ".join(packages) in text
        case Run(_, command):
            assert f"RUN {command}\n" in text
        case Wheels(_, target) | Project(_, target):
            assert f"COPY --from=wheels {target} {target}\n" in text
        case Compile(target):
            assert re.search(rf"compileall .*{target}\n", text)
        case Config(user, _, environment):
            assert f"USER {user}\n" in text
            assert all(f"ENV {name}={value}\n" in text for name, value in environment)


def test_the_image_has_the_locked_versions_and_none_of_the_tools() -> None:
    """hack/lock writes both lists; the image's is part of the other."""
    image, everything = pins("hack/image/requirements.txt"), pins("hack/requirements.txt")
    assert image.items() <= everything.items()
    assert {"kopf", "kubernetes", "pydantic"} <= image.keys()
    assert not {"pytest", "mypy", "ruff"} & image.keys()


def test_every_source_of_the_image_exists() -> None:
    """A file that is moved must not silently drop out of the image."""
    sources = [source for step in STEPS if isinstance(step, Project) for source in step.sources]
    assert all((CHECKOUT / source).exists() for source in sources)
    assert len(list(build.project_files(sources))) > 100


def test_the_user_has_no_rights() -> None:
    """Issue 7.4: non-root, by number, so that runAsNonRoot can be checked."""
    config = STEPS[-1]
    assert isinstance(config, Config)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config.user)
    assert config.command == ("controller",)
