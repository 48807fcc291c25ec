"""The local control plane as one object: start or adopt its servers, keep them running, stop them in order.

`up` and the tests use the same code. Whoever has a Plane holds the home's lock for as long. Everything runs in the
event loop that called `start`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from controller.errors import Terminal, Transient
from controller.files import atomic
from controller.local import assets, certs, crds, damage, leftovers, logs, records
from controller.local.binaries import Binaries
from controller.local.chores import Chores
from controller.local.components import NAMES, ApiServer, Component, Controller, ControllerManager, Etcd
from controller.local.etcd_care import BALLAST_BYTES, EtcdCare
from controller.local.exits import Exit
from controller.local.home import Home, PlaneLock
from controller.local.ports import Ports
from controller.local.supervise import Supervised

START_SECONDS = 90.0
HOUSEKEEPING_SECONDS = 30.0
# Clients send a User-Agent and a verb; that is all that counting API calls needs.
AUDIT_POLICY = b"apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"

Say = Callable[[str], None]


class Plane:
    """etcd, kube-apiserver, kube-controller-manager and, where asked for, the controller, on one home.

    Args:
        home: state directory; made when it does not exist.
        binaries: from `binaries.find_or_make`.
        audit_log: file that gets one JSON line per API request, None for none.
        controller: the controller's limit of running attempts; None runs no controller.
        fsync: False only where data may be lost with the machine (tests).
        ballast_bytes: reserve for a full disk beside etcd's data, 0 for none.
        say: told what a person should know, one message at a time.
    """

    def __init__(
        self,
        home: Path,
        binaries: Binaries,
        *,
        audit_log: Path | None = None,
        controller: int | None = None,
        fsync: bool = True,
        ballast_bytes: int = BALLAST_BYTES,
        say: Say = lambda message: None,
    ) -> None:
        self.home = Home.at(home)
        self._say = say
        self._lock = PlaneLock(self.home)
        self._ports = Ports(self.home.ports)
        self._etcd = Etcd(self.home, binaries.etcd, fsync)
        self._api = ApiServer(self.home, binaries.apiserver, self._ports, audit_log)
        self._manager = ControllerManager(self.home, binaries.controller_manager, self._ports)
        self._care = EtcdCare(self.home, self._etcd, say, ballast_bytes)
        self._components: dict[str, Component] = {c.name: c for c in (self._etcd, self._api, self._manager)}
        if controller is not None:
            self._components["controller"] = Controller(self.home, self._ports, controller)
        self._supervised: dict[str, Supervised] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._chores = Chores(say)
        # What is still to be done after a change of ports, certificates or the store.
        self._kubeconfigs_due = False
        self._restarts_due: set[str] = set()
        self._told: list[str] = []  # by the last look at the records

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster administrator."""
        return self.home.kubeconfig

    def pid(self, name: str) -> int | None:
        """Process id of a running component."""
        process = self._supervised[name].record.process
        return None if process is None else process.pid

    def record(self, name: str) -> records.Record:
        """What is known about a component now."""
        return self._supervised[name].record

    def acquire(self) -> None:
        """Take the home; `start` does it too. Raises Waiting where another process has it, Terminal as `start`."""
        self.home.prepare()
        self._lock.acquire()
        try:
            told = damage.mend(self.home)
        except BaseException:
            self._lock.release()
            raise
        for each in told:
            self._say(each)

    async def start(self) -> None:
        """Come up and return when the API server serves the CRDs; the controller is started, not waited for.

        Raises:
            Waiting: another process looks after this home.
            Terminal: the home cannot be used.
            Transient: a server does not get ready; the message ends with its last log lines. Nothing is left running.
        """
        self.acquire()
        try:
            await self._prepare()
            for name in NAMES:
                if name in self._components:
                    await self._start_component(name)
            self._spawn_task(self._housekeeping())
        except BaseException:
            await self.stop()
            raise

    def mend_records(self) -> None:
        """Set damaged records aside, and write again what they said; what cannot be moved is told once."""
        try:
            told = damage.mend(self.home)
        except Terminal as error:
            told = [error.message]
        except OSError as error:
            told = [f"{self.home.components} cannot be mended: {error}"]
        for each in told:
            if each not in self._told:
                self._say(each)
        self._told = told
        for supervised in self._supervised.values():
            supervised.record_again()

    def check(self) -> None:
        """Raises Transient where nobody looks after one of the components any more, and nobody asked for that."""
        for supervised in self._supervised.values():
            supervised.check()

    async def wait_ready(self, name: str, limit_seconds: float) -> str | None:
        """Wait until a component is ready; otherwise a message with the end of its log."""
        return await self._supervised[name].wait_ready(limit_seconds)

    async def stop(self) -> None:
        """Stop everything in order, each within its limit; jobs go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        errors = []
        for name in reversed(NAMES):
            if name in self._supervised:
                try:
                    await self._supervised[name].stop()
                except Exception as error:  # noqa: BLE001 - the others are stopped all the same, then it is raised
                    errors.append(error)
        self._lock.release()
        if errors:
            raise ExceptionGroup("stopping the control plane", errors)

    async def __aenter__(self) -> Plane:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _prepare(self) -> None:
        certs.ensure(self.home)
        self._write_kubeconfigs()
        atomic.write_atomic(self.home.components / "audit-policy.yaml", AUDIT_POLICY)
        with self._making_ballast():
            self._care.make_ballast()
        adoptable = []
        for name, component in self._components.items():
            record = records.read(self.home.record(name))
            if record is None or record.process is None or not record.alive:
                continue
            if record.fingerprint == component.launch().fingerprint:
                adoptable.append(record.process)
        ended = await leftovers.stop(self.home, keep=adoptable)
        if ended:
            self._say(f"stopped what an earlier start left with other settings: {', '.join(ended)}")

    async def _start_component(self, name: str) -> None:
        component = self._components[name]
        options: Mapping[str, Supervised] = {
            "etcd": Supervised(component, self.home, self._say, exited=self._etcd_exited),
            "apiserver": Supervised(
                component, self.home, self._say, ready=self._api_ready, renew_port=self._renew_api_port
            ),
            "controller-manager": Supervised(component, self.home, self._say, renew_port=self._renew_manager_port),
            "controller": Supervised(component, self.home, self._say),
        }
        supervised = self._supervised[name] = options[name]
        supervised.start()
        if name in ("etcd", "apiserver"):
            problem = await supervised.wait_ready(START_SECONDS)
            if problem is not None:
                raise Transient("NotReady", problem)

    async def _api_ready(self) -> str | None:
        reason = await self._api.probe()
        if reason is not None:
            return reason
        return await crds.apply(self.home, self._ports.get("apiserver"), assets.crds())

    async def _etcd_exited(self, ending: Exit) -> bool:
        mended = await self._care.exited(ending)
        if mended and not self.home.etcd_data.exists():
            # Another store: what the others remember of the old one must go, and the CRDs must be applied again.
            self._restarts_due |= {"apiserver", "controller-manager", "controller"}
            self._spawn_task(self._catch_up())
        return mended

    async def _renew_api_port(self) -> None:
        self._ports.renew("apiserver")
        self._kubeconfigs_due = True
        self._restarts_due |= {"controller-manager", "controller"}
        self._spawn_task(self._catch_up())

    async def _renew_manager_port(self) -> None:
        self._ports.renew("controller-manager")

    async def _catch_up(self) -> None:
        """Do what is due; what fails stays due, and the housekeeping tries it again."""
        if self._kubeconfigs_due:
            with self._chores.by_itself("writing the kubeconfigs"):
                self._write_kubeconfigs()
                self._kubeconfigs_due = False
        if self._kubeconfigs_due:
            return  # a server that starts now would read the old ones
        for name in [name for name in NAMES if name in self._restarts_due]:
            self._restarts_due.discard(name)
            if name in self._supervised:
                with self._chores.by_itself(f"restarting {name}"):
                    await self._restart(name)

    async def _restart(self, name: str) -> None:
        try:
            await self._supervised[name].restart()
        except Exception:
            self._restarts_due.add(name)
            raise

    def _write_kubeconfigs(self) -> None:
        server = f"https://127.0.0.1:{self._ports.get('apiserver')}"
        for client, path in (("admin", self.home.kubeconfig), ("controller-manager", self._manager.kubeconfig)):
            content = certs.kubeconfig(self.home, client, server)
            if not path.exists() or path.read_bytes() != content:
                atomic.write_atomic(path, content)

    async def _housekeeping(self) -> None:
        """Keep logs bounded, the reserve there, and certificates fresh for as long as this runs."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            for name in self._supervised:
                with self._chores.by_itself(f"bounding the log of {name}"):
                    logs.bound(self.home.log(name))
            with self._making_ballast():
                self._care.make_ballast()
            with self._chores.by_itself("renewing certificates"):
                self._renew_certificates()
            await self._catch_up()

    def _making_ballast(self) -> AbstractContextManager[None]:
        return self._chores.by_itself(f"making the reserve for a full disk beside {self.home.etcd_data}")

    def _renew_certificates(self) -> None:
        written = certs.ensure(self.home)
        if written:
            self._kubeconfigs_due = True
            self._restarts_due |= {"apiserver", "controller-manager", "controller"}
            self._say(f"renewed certificates: {', '.join(sorted(written))}")

    def _spawn_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
