"""Named checks behind /healthz and /readyz (requirement 9.4). Who knows something registers a check here.

Liveness fails where only a restart helps; readiness where the controller should be waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether all checks pass, and for each its failure, or "" where it passes."""

    ok: bool
    checks: dict[str, str]

    def text(self) -> str:
        """As kube-apiserver prints it: one line per check, then the result."""
        lines = [f"[-] {name}: {why}" if why else f"[+] {name}: ok" for name, why in sorted(self.checks.items())]
        return "\n".join([*lines, "ok" if self.ok else "failed", ""])


class Health:
    """The registered checks. A check returns why it fails, or None; it must be quick and raise nothing."""

    def __init__(self) -> None:
        self._liveness: dict[str, Check] = {}
        self._readiness: dict[str, Check] = {}

    def liveness(self, name: str, check: Check | None) -> None:
        """Register a check of /healthz under a name, replace the one of that name, or with None remove it."""
        _set(self._liveness, name, check)

    def readiness(self, name: str, check: Check | None) -> None:
        """The same for /readyz."""
        _set(self._readiness, name, check)

    def healthz(self) -> Answer:
        """All liveness checks now."""
        return _answer(self._liveness)

    def readyz(self) -> Answer:
        """All readiness and liveness checks now."""
        return _answer(self._liveness | self._readiness)


def _set(checks: dict[str, Check], name: str, check: Check | None) -> None:
    if check is None:
        checks.pop(name, None)
    else:
        checks[name] = check


def _answer(checks: dict[str, Check]) -> Answer:
    found = {name: check() or "" for name, check in checks.items()}
    return Answer(not any(found.values()), found)
