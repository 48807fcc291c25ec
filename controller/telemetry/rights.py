"""Which rights the API server refuses to us, told from its own answers: exact, and healed by the next answer.

A refusal for other reasons (a quota, an admission webhook, a namespace that is going away) is none of these. Secrets
and ConfigMaps are left out: their rights are restricted on purpose, and the object that names one says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import structlog
from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered

# Of the RBAC authorizer (k8s.io/apiserver, endpoints/handlers/responsewriters/errors.go, forbiddenMessage).
_SAID = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
RESTRICTED = frozenset({"Secret", "ConfigMap"})

_log = structlog.get_logger("controller.rights")


class Rights(Registered):
    """See the module.

    Args:
        verbs, kinds: of our calls, as the metrics of calls name them.
    """

    def __init__(self, registry: CollectorRegistry, verbs: Iterable[str], kinds: Iterable[str]) -> None:
        super().__init__(registry)
        kinds = tuple(kinds)
        self._gauge_missing = self._gauge(
            "holdfast_missing_rights",
            "1 while the API server refuses this call for want of rights.",
            ("verb", "kind"),
            [(verb, kind) for verb in verbs for kind in kinds],
        )
        self._missing: dict[tuple[str, str], str] = {}

    @property
    def missing(self) -> list[str]:
        """Each missing right in words, such as `patch batchjobs.holdfast.dev/status`."""
        return sorted(self._missing.values())

    def refused(self, verb: str, kind: str, said: str | None) -> None:
        """A call was answered with 403.

        Args:
            said: the API server's message; None where it was not read, as of a watch, which only rights can refuse.
        """
        found = _SAID.search(said or "")
        if kind in RESTRICTED or (said is not None and found is None):
            return
        text = _right(found) if found is not None else f"{verb} {kind}"
        if (verb, kind) not in self._missing:
            _log.error("a right is missing", right=text, **{"as": said or ""})
        self._missing[verb, kind] = text
        self._gauge_missing.labels(verb, kind).set(1)

    def granted(self, verb: str, kind: str) -> None:
        """A call was answered, whatever else it said."""
        if self._missing and (right := self._missing.pop((verb, kind), None)) is not None:
            _log.info("a right is there again", right=right)
            self._gauge_missing.labels(verb, kind).set(0)


def _right(found: re.Match[str]) -> str:
    name, _, part = found["resource"].partition("/")
    where = f" in namespace {found['namespace']}" if found["namespace"] else ""
    resource = f"{name}.{found['group']}" if found["group"] else name
    return f"{found['verb']} {resource}{'/' + part if part else ''}{where}"
