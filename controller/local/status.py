"""`holdfast status`: what runs, as the records, the process table and the servers themselves say it now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.local import components, records
from controller.local.home import Home
from controller.local.ports import Ports
from controller.local.records import Record, State


@dataclass(frozen=True, slots=True)
class Status:
    """One look at a home.

    Args:
        up: the `up` process; State.STOPPED where none runs.
        components: in start order.
        url: of the controller's HTTP server, None where no controller runs.
    """

    home: Path
    kubeconfig: Path
    up: Record
    components: tuple[Record, ...]
    url: str | None

    @property
    def all_running(self) -> bool:
        """`up` is there and everything that it looks after is ready."""
        states = {record.state for record in self.components if record.state is not State.STOPPED}
        return self.up.state is State.RUNNING and states == {State.RUNNING}

    def as_dict(self) -> dict[str, Any]:
        """The form of `status -o json`; its keys are a promise."""
        found = {record.name: _as_dict(record) for record in self.components}
        found["controller"]["url"] = self.url
        return {
            "home": str(self.home),
            "kubeconfig": str(self.kubeconfig),
            "url": self.url,
            "up": _as_dict(self.up),
            "components": found,
        }


def _as_dict(record: Record) -> dict[str, Any]:
    return {
        "pid": None if record.process is None else record.process.pid,
        "state": str(record.state),
        "restarts": record.restarts,
        "port": record.port,
        "startedAt": record.started_at or None,
        "message": record.message,
    }


async def look(path: Path) -> Status:
    """Look at the home at `path`; takes about 2 s where a server does not answer."""
    home = Home.at(path)
    ports = Ports(home.ports)
    probed: tuple[components.Component, ...] = (
        components.Etcd(home, Path()),
        components.ApiServer(home, Path(), ports),
        components.ControllerManager(home, Path(), ports),
        components.Controller(home, ports, max_running=1),
    )
    found = await asyncio.gather(*(_component(home, component) for component in probed))
    up = _alive(home, "up")
    url = components.controller_url(home) if found[-1].process is not None else None
    return Status(home.path, home.kubeconfig, up, tuple(found), url)


async def _component(home: Home, component: components.Component) -> Record:
    record = _alive(home, component.name)
    if record.state is State.RUNNING and (reason := await component.probe()) is not None:
        return records.with_state(record, State.UNREADY, reason)
    return record


def _alive(home: Home, name: str) -> Record:
    """The record, corrected by the process table: `up` may have been killed."""
    record = records.read(home.record(name)) or Record(name)
    if record.alive or (record.process is None and record.state is State.BACKOFF):
        return record
    return Record(name, restarts=record.restarts, port=record.port, message=record.message)
