"""The Secrets that a callback names, read right before it is sent (requirements 6.2, 6.4).

Promises: what is used is at most FRESH_SECONDS old, so that a rotated secret is taken up by the next try; values are
part of no message and kept nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable

from controller.api.callback import CallbackSpec
from controller.decisions.answer import Blocked
from controller.delivery.headers import BadHeader, further_headers
from controller.delivery.signing import BadSecret, Signer
from controller.errors import HoldfastError
from controller.kube.client import Api
from controller.kube.errors import NotFound

FRESH_SECONDS = 2.0  # many callbacks of one moment name the same Secret

Data = dict[str, bytes]


class CallbackSecrets:
    """See the module."""

    def __init__(self, api: Api, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._monotonic = monotonic
        self._known: dict[tuple[str, str], tuple[float, asyncio.Future[Data | Blocked]]] = {}

    async def read(self, namespace: str, spec: CallbackSpec) -> tuple[Signer, dict[str, str]] | Blocked:
        """What signs, and the further headers; or what is missing."""
        data = await self._data(namespace, spec.secret_ref.name, "spec.secretRef")
        if isinstance(data, Blocked):
            return data
        where, key = f"spec.secretRef: Secret {spec.secret_ref.name}", spec.secret_ref.key
        if key not in data:
            return Blocked("SecretIncomplete", f"{where} has no key {key}: add it")
        try:
            signer = Signer(data[key])
        except BadSecret as bad:
            return Blocked("SecretInvalid", f"{where}, key {key}: {bad}")
        if spec.headers_ref is None:
            return signer, {}
        more = await self._data(namespace, spec.headers_ref.name, "spec.headersRef")
        if isinstance(more, Blocked):
            return more
        try:
            return signer, further_headers(more)
        except BadHeader as bad:
            return Blocked("HeadersInvalid", f"spec.headersRef: Secret {spec.headers_ref.name}: {bad}")

    async def _data(self, namespace: str, name: str, where: str) -> Data | Blocked:
        """One read for all who ask within FRESH_SECONDS."""
        now = self._monotonic()
        known = self._known.get((namespace, name))
        if known is None or now - known[0] > FRESH_SECONDS:
            self._known = {key: each for key, each in self._known.items() if now - each[0] <= FRESH_SECONDS}
            known = (now, asyncio.ensure_future(self._get(namespace, name)))
            self._known[(namespace, name)] = known
        found = await asyncio.shield(known[1])
        if isinstance(found, Blocked):
            return Blocked(found.reason, f"{where}: {found.message}")
        return found

    async def _get(self, namespace: str, name: str) -> Data | Blocked:
        try:
            secret = await self._api.get("Secret", namespace, name)
            data = secret.get("data") or {}
            return {key: base64.b64decode(value, validate=True) for key, value in data.items()}
        except NotFound:
            return Blocked("SecretNotFound", f"there is no Secret {name} in namespace {namespace}: create it")
        except binascii.Error:
            return Blocked("SecretInvalid", f"Secret {name} holds data that is not base64")
        except HoldfastError as error:
            return Blocked("SecretUnreadable", f"Secret {name} cannot be read: {error.message}")
