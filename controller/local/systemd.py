"""A systemd unit for `holdfast up`, and a check that our unit lets jobs outlive us (systemd.service(5))."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

WANTED: Mapping[str, str] = {"KillMode": "process", "OOMPolicy": "continue", "Delegate": "yes"}
UNIT = """\
# {where}
[Unit]
Description=Holdfast: batch jobs that survive crashes ({home})
After=network-online.target local-fs.target
RequiresMountsFor={home}

[Service]
Type=exec
ExecStart={command}
{environment}
Restart=always
RestartSec=2
# `holdfast down` ends it with status 0 and means it.
RestartPreventExitStatus=0
# Stopping or losing this service must not touch a running job.
KillMode=process
OOMPolicy=continue
Delegate=yes
TimeoutStopSec=120
LimitNOFILE=1048576

[Install]
WantedBy={target}
"""
SYSTEM = """sudo sh -c 'holdfast up --print-systemd > /etc/systemd/system/holdfast.service'
# sudo systemctl daemon-reload && sudo systemctl enable --now holdfast"""
USER = """mkdir -p ~/.config/systemd/user && holdfast up --print-systemd > ~/.config/systemd/user/holdfast.service
# systemctl --user daemon-reload && systemctl --user enable --now holdfast && loginctl enable-linger"""


def unit(command: list[str], home: Path, environ: Mapping[str, str], root: bool) -> str:
    """The unit's text.

    Args:
        command: argv of `up`, absolute.
        home: state directory.
        environ: environment whose HOLDFAST_ variables and KUBEBUILDER_ASSETS the service is to have too.
        root: a system unit, otherwise one of the user's own manager.
    """
    kept = {key: value for key, value in environ.items() if key.startswith("HOLDFAST_") or key == "KUBEBUILDER_ASSETS"}
    kept["HOLDFAST_HOME"] = str(home)
    return UNIT.format(
        where=SYSTEM if root else USER,
        home=str(home).replace("%", "%%"),
        command=" ".join(_quoted(argument).replace("$", "$$") for argument in command),
        environment="\n".join(f"Environment={_quoted(f'{key}={value}')}" for key, value in sorted(kept.items())),
        target="multi-user.target" if root else "default.target",
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != text or not text or set(text) & set(" \t'$;") else text


def complaint(environ: Mapping[str, str]) -> str | None:
    """What is wrong with the unit that we run under; None outside of systemd or where all is right."""
    if "INVOCATION_ID" not in environ:
        return None
    name = Path(Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2]).name
    if not name.endswith(".service"):
        return None
    scope = [] if os.geteuid() == 0 else ["--user"]
    command = ["systemctl", *scope, "show", name, *(f"--property={key}" for key in WANTED)]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot check the systemd unit {name}: {error}"
    return judge(name, said)


def judge(name: str, said: str) -> str | None:
    """Compare the output of `systemctl show` with what running jobs need."""
    found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    wrong = [f"{key}={found.get(key, '')} (wanted {value})" for key, value in WANTED.items() if found.get(key) != value]
    if not wrong:
        return None
    return (
        f"systemd unit {name}: {', '.join(wrong)}: stopping it may kill running jobs; see holdfast up --print-systemd"
    )
