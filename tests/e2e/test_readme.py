"""What the README shows is taken by the real API server, so it cannot fall behind the kinds (requirement 1.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from click.testing import CliRunner

from controller.cli.main import COMMANDS, cli

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
MANIFESTS = re.findall(r"^```yaml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
SHOWN = re.findall(r"(?<![\w-])holdfast ([a-z]+)((?: (?:--[a-z-]+|[A-Za-z]+))*)", README)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_manifests(kubectl: Callable[..., CompletedProcess[str]], manifest: str) -> None:
    """1.2: strictly, so that a field that is not there any more is found too."""
    kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=manifest)


def test_there_are_manifests() -> None:
    """The pattern above finds them."""
    assert len(MANIFESTS) == 4
    assert sum(manifest.count("kind: BatchJob") for manifest in MANIFESTS) == 6


def test_commands_and_options() -> None:
    """Each command that is shown is one, with the options that are shown."""
    shown = [(command, rest) for command, rest in SHOWN if command in COMMANDS]
    assert {"up", "run", "logs", "locks", "repo", "callbacks", "decide", "adopt"} <= {command for command, _ in shown}
    for command, rest in shown:
        help_text = CliRunner().invoke(cli, [command, "--help"]).stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in help_text, f"holdfast {command} has no {option}"
