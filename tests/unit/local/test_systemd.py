"""The unit that makes a reboot need nobody."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.local import systemd


def options(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_stopping_the_unit_leaves_jobs_alone() -> None:
    """Design 6: KillMode=process, OOMPolicy=continue, Delegate=yes; issue A 3: a reboot needs nobody."""
    service = options(systemd.unit(["/x/python", "up"], Path("/h"), {}, root=True))["Service"]
    assert {key: service[key] for key in systemd.WANTED} == dict(systemd.WANTED)
    assert service["Restart"] == "always"
    assert service["ExecStart"] == "/x/python up"


def test_special_characters_survive() -> None:
    """systemd expands %, $ and splits at spaces (systemd.service(5), systemd.syntax(7))."""
    service = options(
        systemd.unit(["/my dir/100%/python", "a$b", 'c"d'], Path("/h o/%m"), {"HOLDFAST_LOG_LEVEL": "x y"}, root=False)
    )["Service"]
    assert service["ExecStart"] == '"/my dir/100%%/python" "a$$b" "c\\"d"'
    assert service["Environment"] == '"HOLDFAST_LOG_LEVEL=x y"'  # the last of two lines


def test_systemd_itself_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "holdfast.service"
    path.write_text(systemd.unit(["/bin/sh", "-c", "a b%"], tmp_path, {"HOLDFAST_X": "100% $x"}, root=True))
    done = subprocess.run([analyze, "verify", path], check=False, capture_output=True, text=True, timeout=30)
    assert "holdfast.service" not in done.stderr, done.stderr


def test_a_unit_that_would_kill_jobs_is_complained_about() -> None:
    """Design 6: checked at the start."""
    good = "KillMode=process\nOOMPolicy=continue\nDelegate=yes\n"
    assert systemd.judge("x.service", good) is None
    complaint = systemd.judge("x.service", good.replace("=process", "=control-group"))
    assert complaint is not None
    assert "KillMode=control-group (wanted process)" in complaint
    assert systemd.complaint({}) is None
