"""Wrong usage is one line that names what is wrong and where the help is, with exit code 2 (issue item 7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.cli.main import COMMANDS, cli
from tests.e2e.cli.holdfast_command import one_line

WRONG = [
    (["nope"], "'nope'", ""),
    (["--nope"], "'--nope'", ""),
    (["logs"], "'JOB'", "logs"),
    (["logs", "a", "b"], "(b)", "logs"),
    (["logs", "--nope", "a"], "'--nope'", "logs"),
    (["logs", "--folow", "a"], "Did you mean '--follow'?", "logs"),
    (["logs", "--tail", "x", "a"], "'--tail'", "logs"),
    (["logs", "--tail", "1", "--since-offset", "1", "a"], "--tail and --since-offset", "logs"),
    (["run"], "COMMAND", "run"),
    (["run", "--on-lost", "Never", "true"], "'--on-lost'", "run"),
    (["run", "--label", "x", "true"], "--label x", "run"),
    (["run", "--wait", "--dry-run", "true"], "--dry-run", "run"),
    (["queue", "-o", "bad"], "'--output'", "queue"),
    (["completion"], "bash, zsh, fish", "completion"),
    (["up", "--concurrency", "0"], "'--concurrency'", "up"),
    (["up", "--concurrency"], "'--concurrency'", "up"),
]


@pytest.mark.parametrize(("arguments", "said", "command"), WRONG, ids=[" ".join(wrong[0]) for wrong in WRONG])
def test_wrong_usage_is_one_line(arguments: list[str], said: str, command: str) -> None:
    """Issue item 7: it names the option or argument, and the help of the very command."""
    result = CliRunner().invoke(cli, arguments, prog_name="holdfast")
    assert (result.exit_code, result.stdout) == (2, "")
    line = one_line(result.stderr)
    assert said in line
    assert line.endswith(f"; see `{f'holdfast {command}'.strip()} --help`\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_an_unknown_option_in_one_line(command: str) -> None:
    """Issue item 7"""
    result = CliRunner().invoke(cli, [command, "--surely-not-an-option"], prog_name="holdfast")
    assert result.exit_code == 2
    assert one_line(result.stderr).endswith(f"; see `holdfast {command} --help`\n")


def test_a_bare_command_shows_its_help() -> None:
    """Issue item 7: it is no error in the words of a person."""
    result = CliRunner().invoke(cli, [], prog_name="holdfast")
    assert result.exit_code == 2 and "\nCommands:\n" in result.output


def test_a_setting_that_is_wrong_is_one_line() -> None:
    """Issue items 1 and 7: the name of the variable, what is wrong, and where the settings are explained."""
    wrong = {"HOLDFAST_MAX_RUNNING": "x", "HOLDFAST_LOG_LEVEL": "loud"}
    result = CliRunner().invoke(cli, ["up", "--print-systemd"], env=wrong, prog_name="holdfast")
    assert result.exit_code == 1
    line = one_line(result.stderr)
    assert "HOLDFAST_MAX_RUNNING='x': " in line and "HOLDFAST_LOG_LEVEL='loud': " in line
    assert "holdfast settings" in line


def test_adopt_without_a_state_directory(tmp_path: Path) -> None:
    """Issue item 7: one line, too."""
    result = CliRunner().invoke(cli, ["adopt", "--yes"], env={"HOLDFAST_HOME": str(tmp_path / "none")})
    assert result.exit_code == 1
    assert "set HOLDFAST_HOME" in one_line(result.stderr)
