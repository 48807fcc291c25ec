"""The environment that a job names: plain values, ConfigMaps, Secrets (requirement 3.7).

Secret values are read right before a launch and handed to the executor apart from the plain ones; they are never part
of a status, an Event, a log line or an error message.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from controller.api.batchjob import BatchJob
from controller.api.environment import EnvFrom, EnvVar, KeyReference
from controller.api.text import ENV_NAME
from controller.errors import Waiting
from controller.kube.client import Api
from controller.kube.errors import NotFound

RETRY_SECONDS = 5.0  # ConfigMaps and Secrets are not watched: looked for again this often

_NAME = re.compile(ENV_NAME)


@dataclass(slots=True)
class Environment:
    """What was resolved; `skipped` are keys that are no names of variables (dash would drop them)."""

    plain: dict[str, str] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def put(self, name: str, value: str, *, secret: bool) -> None:
        """Set a variable; the later one wins whichever kind it is."""
        self.plain.pop(name, None)
        self.secret.pop(name, None)
        (self.secret if secret else self.plain)[name] = value


async def resolve(api: Api, job: BatchJob) -> Environment:
    """Read what spec.envFrom and spec.env name.

    Raises:
        Waiting: an object or key is missing that is not optional; the message names the field.
        Transient: the API server could not answer.
    """
    found = Environment()
    reader = _Reader(api, job.metadata.namespace)
    for index, source in enumerate(job.spec.env_from):
        await _all_keys(reader, found, source, f"spec.envFrom[{index}]")
    for variable in job.spec.env:
        await _one(reader, found, variable)
    return found


class _Reader:
    """Reads each object once per resolution."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._read: dict[tuple[str, str], dict[str, str] | None] = {}

    async def data(self, kind: str, name: str) -> dict[str, str] | None:
        """The object's data as text; None where it does not exist."""
        if (kind, name) not in self._read:
            self._read[(kind, name)] = await self._fetch(kind, name)
        return self._read[(kind, name)]

    async def _fetch(self, kind: str, name: str) -> dict[str, str] | None:
        try:
            raw = await self._api.get(kind, self._namespace, name)
        except NotFound:
            return None
        data = raw.get("data") or {}
        if kind == "ConfigMap":
            return {key: str(value) for key, value in data.items()}
        return {key: text for key, value in data.items() if (text := _decode(value)) is not None}


def _decode(value: str) -> str | None:
    """A Secret's value as text; None where it cannot be an environment variable (not UTF-8, or with a NUL)."""
    try:
        text = base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return None if "\0" in text else text


async def _all_keys(reader: _Reader, found: Environment, source: EnvFrom, where: str) -> None:
    kind, reference = ("Secret", source.secret_ref) if source.secret_ref else ("ConfigMap", source.config_map_ref)
    if reference is None:
        return
    data = await reader.data(kind, reference.name)
    if data is None:
        if not reference.optional:
            raise _missing(where, f"{kind} {reference.name} does not exist in this namespace")
        return
    for key, value in data.items():
        name = source.prefix + key
        if _NAME.fullmatch(name) and not name.startswith("HOLDFAST_") and "\0" not in value:
            found.put(name, value, secret=kind == "Secret")
        else:
            found.skipped.append(f"{where}: {name}")


async def _one(reader: _Reader, found: Environment, variable: EnvVar) -> None:
    source = variable.value_from
    if source is None:
        found.put(variable.name, variable.value or "", secret=False)
        return
    kind, reference = (
        ("Secret", source.secret_key_ref) if source.secret_key_ref else ("ConfigMap", source.config_map_key_ref)
    )
    if reference is None:
        return
    value = await _key(reader, kind, reference, f"spec.env[{variable.name}].valueFrom")
    if value is not None:
        found.put(variable.name, value, secret=kind == "Secret")


async def _key(reader: _Reader, kind: str, reference: KeyReference, where: str) -> str | None:
    data = await reader.data(kind, reference.name)
    if data is not None and reference.key in data:
        return data[reference.key]
    if reference.optional:
        return None
    what = f"{kind} {reference.name}" + (
        f" has no usable key {reference.key}" if data is not None else " does not exist"
    )
    raise _missing(where, what)


def _missing(where: str, what: str) -> Waiting:
    return Waiting("EnvironmentNotFound", f"{where}: {what}; create it, or mark it optional", RETRY_SECONDS)
