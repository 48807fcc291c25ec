"""How attempts of a job look as Pods: `spec.pod` (requirement 4.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema

from controller.api.crd import Rule
from controller.api.model import Model
from controller.api.text import DNS_SUBDOMAIN
from controller.api.units import Quantity

MAX_LABELS = 32
RESERVED = ("holdfast.dev/", "batch.kubernetes.io/")

Label = Annotated[str, Field(max_length=63)]
Note = Annotated[str, Field(max_length=4096)]
Free = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]


def _no_reserved(field: str) -> Rule:
    free = " && ".join(f"!name.startsWith('{prefix}')" for prefix in RESERVED)
    return Rule(
        f"!has(self.{field}) || self.{field}.all(name, {free})",
        f"pod.{field}: names that begin with {' or '.join(RESERVED)} are set by Holdfast and Kubernetes",
        field,
    )


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class TolerationOperator(StrEnum):
    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that the Pod may be scheduled on: core/v1 Toleration."""

    key: str | None = Field(
        default=None, description="Key of the taint; unset with Exists: every taint.", max_length=316
    )
    operator: TolerationOperator = Field(default=TolerationOperator.EQUAL, description="Exists or Equal.")
    value: str | None = Field(default=None, description="Value of the taint, with Equal.", max_length=63)
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint; unset: all.")
    toleration_seconds: int | None = Field(
        default=None, description="How long a NoExecute taint is tolerated; unset: for ever."
    )


class Resources(Model):
    """core/v1 ResourceRequirements; extended resources such as nvidia.com/gpu included."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict, description="What the scheduler keeps free for it.", max_length=16
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict,
        description="What it may use at most; wins over spec.limits.memory and spec.limits.cpu.",
        max_length=16,
    )


class PullSecret(Model):
    """A Secret with the credentials of an image registry."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)


class PodUse(Model):
    """The Pod of an attempt. Everything else that a Pod can have goes into `template`."""

    rules: ClassVar[tuple[Rule, ...]] = (_no_reserved("labels"), _no_reserved("annotations"))
    image: str = Field(description="Image of the command's container.", min_length=1, max_length=512)
    image_pull_policy: PullPolicy | None = Field(
        default=None, description="When the image is pulled; unset: as Kubernetes decides by its tag."
    )
    image_pull_secrets: tuple[PullSecret, ...] = Field(
        default=(),
        description="Credentials of the image's registry.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    resources: Resources | None = Field(default=None, description="Requests and limits of the command's container.")
    service_account_name: str | None = Field(
        default=None,
        description="ServiceAccount of the Pod, whose token is mounted; unset: `default`, without a token.",
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
    )
    node_selector: dict[str, Label] = Field(
        default_factory=dict, description="Labels of the nodes that it may run on.", max_length=MAX_LABELS
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), description="Taints that it may be scheduled on.", max_length=32
    )
    priority_class_name: str | None = Field(
        default=None, description="PriorityClass of the Pod.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN
    )
    workspace_claim: str | None = Field(
        default=None,
        description="PersistentVolumeClaim of the namespace that keeps workspace and checkpoints beyond the Pod, so "
        "that a lost attempt can be resumed: in holdfast/<uid of the job>.<number of the attempt that began them>. "
        "Nobody removes that but you. Unset: they are in the Pod and go with it.",
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
    )
    labels: dict[str, Label] = Field(
        default_factory=dict,
        description="Labels of the batch/v1 Job and of its Pod. With kueue.x-k8s.io/queue-name (here or among the "
        "BatchJob's own labels) that outside queue limits how many run: the attempt takes no slot of its JobQueue.",
        max_length=MAX_LABELS,
    )
    annotations: dict[str, Note] = Field(
        default_factory=dict, description="Annotations of the batch/v1 Job and of its Pod.", max_length=MAX_LABELS
    )
    template: Free | None = Field(
        default=None,
        description="A core/v1 PodTemplateSpec merged under everything above (RFC 7386, containers by name; the "
        "command's is `main`): volumes, sidecars, securityContext, affinity. What makes an attempt one attempt "
        "(command, restartPolicy, labels of Holdfast) cannot be changed here.",
    )
