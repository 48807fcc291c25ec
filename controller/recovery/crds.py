"""Whether the API server's CRDs have all fields of this version: what they lack it would drop without a word.

Told from what every authenticated user may read (/openapi/v3), so no right over CRDs is needed. Newer CRDs are fine.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from controller.api import fields
from controller.api.names import Names
from controller.errors import HoldfastError, Terminal
from controller.kube.client import Api

PUBLISH_SECONDS = 10.0  # the API server publishes new CRDs a moment after it serves them
AGAIN_SECONDS = 0.5
SHOWN = 3  # fields in the message

_log = structlog.get_logger("controller.start")


async def check_served(api: Api) -> bool:
    """Return once nothing is missing; False where it could not be told, which is no reason not to start.

    Raises:
        Terminal: the CRDs are older than this version; the message has the command that helps.
    """
    wanted = await asyncio.to_thread(fields.declared)
    until = time.monotonic() + PUBLISH_SECONDS
    while True:
        try:
            served = fields.published(await api.published_schemas())
        except HoldfastError as error:
            _log.debug("the served CRDs could not be compared", reason=error.reason, error=error.message)
            return False
        missing = [
            f"{Names(kind).plural}: {path}" for kind, found in served.items() for path in sorted(wanted[kind] - found)
        ]
        if not missing:
            return len(served) == len(wanted)
        if time.monotonic() > until:
            raise Terminal("OlderCRDs", _message(missing))
        await asyncio.sleep(AGAIN_SECONDS)


def _message(missing: list[str]) -> str:
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return (
        f"the CRDs of the API server are older than this controller and would drop {', '.join(missing[:SHOWN])}{more}; "
        "apply those of this version: kubectl apply --server-side --force-conflicts -f charts/holdfast/crds/"
    )
