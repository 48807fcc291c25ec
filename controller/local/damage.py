"""Damaged files of `components/` go to quarantine with their reason before `up` starts anything (requirement 7.5).

Nothing depends on them alone: a server without a readable record is found by its marker and stopped before another one
is started on its data, and the ports that are in use stand in the records too. Only who has the home's lock calls this.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from controller.errors import Terminal
from controller.files import atomic, quarantine
from controller.local import ports, records
from controller.local.components import NAMES
from controller.local.home import Home


def mend(home: Home) -> list[str]:
    """Set aside what cannot be read, and remember the ports again that records name.

    Returns:
        What was set aside, one sentence each for a person.

    Raises:
        Terminal: something can be neither read nor moved.
    """
    told = [_check(home, home.record(name), records.parse) for name in ("up", *NAMES)]
    told.append(_check(home, home.ports, ports.parse))
    if not home.ports.exists():
        _remember_ports(home)
    return [each for each in told if each]


def _check(home: Home, path: Path, parse: Callable[[bytes], object]) -> str:
    reason = _problem(path, parse)
    if not reason:
        return ""
    try:
        target = quarantine.set_aside(home.path, path, reason)
    except OSError as error:
        text = f"{path} {reason}, and it cannot be moved to quarantine ({error.strerror or error}): remove it"
        raise Terminal("RecordDamaged", text) from error
    return f"{path} {reason}: moved to {target}"


def _problem(path: Path, parse: Callable[[bytes], object]) -> str:
    try:
        parse(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except (ValueError, RecursionError) as error:
        return f"is damaged ({error})"
    return ""


def _remember_ports(home: Home) -> None:
    """So that servers which run are adopted, and kubeconfigs that were copied stay right."""
    found = {name: records.read(home.record(name)) for name in NAMES}
    known = {name: record.port for name, record in found.items() if record is not None and record.port is not None}
    if known:
        atomic.write_atomic(home.ports, json.dumps(known).encode())
