"""All settings of Holdfast, by the environment names `HOLDFAST_…`; `holdfast settings` shows them.

A setting is a constant that a person may tune; its unit stands in its name. Every other constant stands beside its use.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import platformdirs
from cronsim import CronSim, CronSimError
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MANY = 10_000  # attempts at once where only the cluster limits them


class Settings(BaseSettings):
    """Read once at start by the composition root and handed down; nothing else reads the environment."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("holdfast", appauthor=False)),
        description="Directory of all state: kubeconfig, run directories, certificates, etcd data, logs.",
    )
    cache: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir("holdfast", appauthor=False)),
        description="Directory of what can be fetched again: the control-plane binaries.",
    )
    kubeconfig: Path | None = Field(
        default=None, description="Kubeconfig of the cluster; unset: HOLDFAST_HOME/kubeconfig, then the usual places."
    )
    namespace: str = Field(
        default="default",
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Namespace of the objects that Holdfast makes for itself: RecoveryReports, scheduled Snapshots.",
    )
    watch_namespace: str = Field(
        default="",
        max_length=63,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
        description="Only objects of this namespace are worked on, and no right outside of it is needed; it has to be "
        "HOLDFAST_NAMESPACE too. Unset: all namespaces.",
    )
    container: str = Field(
        default="",
        max_length=317,
        description="Which container of which Pod this is, as UID/NAME; the chart sets it. What an earlier instance of "
        "the same container ran is over then. Unset: not in a container that the kubelet starts again.",
    )
    max_running: int | None = Field(
        default=None,
        ge=1,
        description="How many attempts run at once, over all queues; unset: as many as this host has CPUs, or any "
        "number where jobs run as Pods only, which the cluster's scheduler and quotas limit.",
    )
    executors: str = Field(
        default="Process",
        pattern=r"^(Process|Pod|Process,Pod|Pod,Process)$",
        description="Where jobs may run, comma-separated: Process (on this host), Pod (on the cluster). The first is "
        "taken where a job names none.",
    )
    pod_output: str = Field(
        default="",
        pattern=r"^(|/.*|[a-z][a-z0-9+.-]*://.*)$",
        description="Where the output of Pods is kept: a directory, or a URL of fsspec such as s3://bucket/path (see "
        "HOLDFAST_SNAPSHOT_DESTINATION); their Pods are removed then. Unset: in HOLDFAST_HOME/output, and Pods stay as "
        "long as their BatchJob.",
    )
    workspace_image: str = Field(
        default="",
        pattern=r"^[^\x00-\x20]*$",
        description="Image that makes the workspaces of Pods: this version's own, which has git. Unset: jobs on "
        "repositories do not run as Pods.",
    )
    workers: int = Field(default=32, ge=1, le=256, description="Reconcile workers.")
    min_free_bytes: int = Field(
        default=2 * 1024**3,
        ge=0,
        description="No job is admitted while the state directory's file system has less free; below half of it the "
        "largest writers end with OutputLimit.",
    )
    job_home: Literal["private", "user"] = Field(
        default="private", description="HOME of a job: a private directory in its run directory, or the user's own."
    )
    running_record_delay_ms: int = Field(
        default=200,
        ge=0,
        description="A job that ends within this time of its start is recorded from Starting straight to its end.",
    )
    start_timeout_seconds: float = Field(
        default=120, gt=0, description="An attempt still Starting after this is closed and counts as a failed start."
    )
    sweep_seconds: float = Field(
        default=5, gt=0, description="How often running attempts are looked at without a wake-up."
    )
    relist_seconds: float = Field(default=180, gt=0, description="How often a metadata-only LIST re-checks the store.")
    request_timeout_seconds: float = Field(default=10, gt=0, description="Time limit of one call to the API server.")
    leader_election: bool = Field(
        default=False,
        description="Several controllers, one of which acts, by a Lease in HOLDFAST_NAMESPACE. On one host the lock of "
        "the state directory is enough.",
    )
    lease_name: str = Field(
        default="holdfast",
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Name of that Lease.",
    )
    lease_seconds: int = Field(
        default=15,
        ge=5,
        le=300,
        description="For how long a renewal holds; after a crash the next controller acts when it has run out. A call "
        "to the API server then gets at most a fifth of it.",
    )
    http_host: str = Field(default="127.0.0.1", description="Address of the controller's HTTP server.")
    http_port: int = Field(default=0, ge=0, le=65535, description="Its port; 0 takes a free one, written to http.json.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Lowest level logged.")
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else one JSON object a line."
    )
    git_schemes: str = Field(
        default="https,http,ssh",
        pattern=r"^(https|http|ssh|file)(,(https|http|ssh|file))*$",
        description="Schemes of Repository URLs that are allowed; `holdfast up` adds file.",
    )
    max_transfers: int = Field(default=4, ge=1, description="Operations on git remotes at once on this host.")
    keep_failed_workspaces_seconds: float = Field(
        default=86400,
        ge=0,
        description="Workspaces and checkpoints of attempts that did not succeed are removed after this.",
    )
    orphan_grace_seconds: float = Field(
        default=60,
        ge=0,
        description="What looks like nobody's is removed when a second look after this finds the same.",
    )
    callback_allow_cidrs: str = Field(
        default="",
        description="Networks that callbacks may reach although they are private, loopback or otherwise special, "
        "comma-separated, such as 10.20.0.0/16.",
    )
    callback_allow_hosts: str = Field(
        default="",
        pattern=r"^((\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*)(, *|$))*$",
        description="Names whose addresses may be private, loopback or carrier-grade NAT, comma-separated; "
        "*.corp.example means all names below it.",
    )
    callback_ports: str = Field(
        default="80,443,8080,8443",
        pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$",
        description="Ports that callbacks may reach; ranges such as 8000-8999 too.",
    )
    callback_proxy: SecretStr | None = Field(
        default=None,
        description="URL of the HTTP proxy of all callbacks; with it the proxy decides which addresses names may have. "
        "Proxies of the environment are not used.",
    )
    callback_per_host: int = Field(default=4, ge=1, le=256, description="Callbacks sent at once to one host.")
    callback_total: int = Field(default=64, ge=1, le=1024, description="Callbacks sent at once in all.")
    snapshot_destination: str = Field(
        default="",
        pattern=r"^[^\x00-\x20]*$",
        description="Where archives of Snapshots go: an absolute path, or an address of fsspec such as s3://bucket/dir "
        "(with the extra holdfast[s3], which the image has; credentials and AWS_ENDPOINT_URL are taken from the "
        "environment); unset: HOLDFAST_HOME/snapshots.",
    )
    snapshot_allow: str = Field(
        default="",
        description="Other directories or addresses that spec.destination of a Snapshot may name, with all below them, "
        "comma-separated; * for any. `holdfast up` allows any.",
    )
    snapshot_schedule: str = Field(
        default="", description="When a Snapshot is taken by itself: five fields of cron in UTC; unset: never."
    )
    snapshot_keep: int = Field(
        default=7,
        ge=1,
        description="How many good Snapshots are kept, and failed ones beside them; not those of spec.keep.",
    )
    snapshot_keep_hours: float = Field(
        default=30 * 24,
        gt=0,
        le=876000,
        description="A Snapshot is removed with its archive after this; the newest good one never is.",
    )
    snapshot_audit: bool = Field(default=False, description="Put the audit journal into every archive.")
    ramp_resumed_per_second: float = Field(
        default=10,
        ge=0,
        description="After a start that finds attempts of before: how many jobs that had begun before start per "
        "second, at first; twice as many after each 2 s, no limit after 20 s. 0: no limit at all.",
    )
    ramp_new_per_second: float = Field(default=10, ge=0, description="The same for jobs that had not begun before.")
    failure_window_seconds: float = Field(
        default=86400, gt=0, description="How long a failure counts in what statuses and metrics say of failures."
    )
    audit: bool = Field(
        default=True, description="on or off: write the audit journal, HOLDFAST_HOME/audit, for `holdfast audit`."
    )
    audit_max_bytes: int = Field(
        default=256 * 1024**2, ge=1024**2, description="All files of the audit journal together; the oldest go."
    )
    audit_segment_bytes: int = Field(
        default=16 * 1024**2,
        ge=4096,
        description="The live file of the audit journal is set aside and compressed at this size, at the latest at a "
        "quarter of audit_max_bytes.",
    )
    audit_segment_seconds: float = Field(
        default=86400, gt=0, description="The same by the age of its first line, with the next line."
    )
    stop_grace_seconds: float = Field(
        default=20, gt=0, description="On SIGTERM the reconciles in work get this long to finish."
    )

    @field_validator("callback_allow_cidrs")
    @classmethod
    def _networks(cls, text: str) -> str:
        for part in filter(None, map(str.strip, text.split(","))):
            ipaddress.ip_network(part)  # its ValueError names the part
        return text

    @field_validator("snapshot_schedule")
    @classmethod
    def _cron(cls, text: str) -> str:
        text = " ".join(text.split())
        if text and len(text.split()) != 5:
            raise ValueError("has not five fields; for example `0 3 * * *` is every day at 03:00 UTC")
        try:
            if text:
                CronSim(text, datetime(2024, 3, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(f"{error}; for example `0 3 * * *` is every day at 03:00 UTC") from error
        return text

    @field_validator("snapshot_destination")
    @classmethod
    def _place(cls, text: str) -> str:
        if text and "://" not in text and not text.startswith("/"):
            raise ValueError("is neither an absolute path nor an address such as s3://bucket/path")
        return text.rstrip("/") or text

    @field_validator("snapshot_destination", "snapshot_allow", "pod_output")
    @classmethod
    def _address(cls, text: str) -> str:
        if "::" in text:
            raise ValueError("chained addresses are not taken: name one file system")
        if any("@" in each.partition("://")[2].partition("/")[0] for each in text.split(",")):
            raise ValueError("has credentials in an address: they belong into the environment (AWS_ACCESS_KEY_ID, …)")
        return text

    @model_validator(mode="after")
    def _one_namespace(self) -> Self:
        if self.watch_namespace not in ("", self.namespace):
            raise ValueError(
                f"HOLDFAST_WATCH_NAMESPACE is {self.watch_namespace} and HOLDFAST_NAMESPACE is {self.namespace}: "
                "they have to be the same, or what Holdfast makes for itself would not be seen"
            )
        return self

    @property
    def snapshot_directory(self) -> str:
        """Directory or address of archives, where a Snapshot names none."""
        return self.snapshot_destination or str(self.home.absolute() / "snapshots")

    @property
    def running_limit(self) -> int:
        """`max_running`, or what follows from where jobs run."""
        if self.max_running is not None:
            return self.max_running
        return os.cpu_count() or 1 if "Process" in self.enabled_executors else MANY

    @property
    def enabled_executors(self) -> tuple[str, ...]:
        """Names of the executors that are enabled, the default one first."""
        return tuple(self.executors.split(","))

    @property
    def call_seconds(self) -> float:
        """Time limit of one call to the API server: a leader's writes must arrive before its lease runs out."""
        limit = self.request_timeout_seconds
        return min(limit, self.lease_seconds / 5) if self.leader_election else limit

    @property
    def operations(self) -> Path:
        """Directory of the run directories of operations on repositories."""
        return self.home / "operations"

    @property
    def runs(self) -> Path:
        """Directory of the run directories, one per attempt."""
        return self.home / "runs"
