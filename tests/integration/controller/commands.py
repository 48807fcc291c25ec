"""The `holdfast` command with the state directory of a running controller."""

from __future__ import annotations

from dataclasses import dataclass

from click.testing import CliRunner, Result

from controller.cli.main import cli
from tests.integration.controller.running_controller import RunningController


@dataclass(frozen=True)
class Command:
    """Called with arguments; the exit code is asserted."""

    controller: RunningController

    @property
    def environment(self) -> dict[str, str]:
        return {name: self.controller.settings[name] for name in ("HOLDFAST_HOME", "HOLDFAST_KUBECONFIG")}

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, [*arguments], env=self.environment)
        assert result.exit_code == code, f"{arguments}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
        return result
