"""The environment of a BatchJob's command: variables by value, or from ConfigMaps and Secrets (requirement 3.7)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from controller.api.crd import Rule
from controller.api.model import Model
from controller.api.text import CONFIG_KEY, DNS_SUBDOMAIN, ENV_NAME, NO_NUL


class KeyReference(Model):
    """One key of a ConfigMap or Secret in the job's namespace."""

    name: str = Field(description="Name of the object.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    key: str = Field(description="Key in its data.", min_length=1, max_length=253, pattern=CONFIG_KEY)
    optional: bool = Field(default=False, description="Go on without the variable when the object or key is missing.")


class EnvSource(Model):
    """Where the value of an environment variable comes from."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.configMapKeyRef) != has(self.secretKeyRef)",
            "valueFrom needs exactly one of configMapKeyRef and secretKeyRef",
        ),
    )
    config_map_key_ref: KeyReference | None = Field(default=None, description="A key of a ConfigMap.")
    secret_key_ref: KeyReference | None = Field(
        default=None,
        description="A key of a Secret. Its value reaches the job only, never a file, log, Event or status.",
    )


class EnvVar(Model):
    """One environment variable of the command."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!(has(self.value) && has(self.valueFrom))", "env: value and valueFrom exclude each other", "valueFrom"),
        Rule(
            "!self.name.startsWith('HOLDFAST_')",
            "env: names that begin with HOLDFAST_ are set by Holdfast itself",
            "name",
        ),
    )
    name: str = Field(description="Name of the variable.", min_length=1, max_length=256, pattern=ENV_NAME)
    value: str | None = Field(
        default=None, description="Value, taken as it is: nothing is expanded.", max_length=65536, pattern=NO_NUL
    )
    value_from: EnvSource | None = Field(default=None, description="Source of the value, instead of `value`.")


class ObjectReference(Model):
    """A ConfigMap or Secret in the job's namespace, all of its keys."""

    name: str = Field(description="Name of the object.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    optional: bool = Field(default=False, description="Go on when the object is missing.")


class EnvFrom(Model):
    """All keys of one object as environment variables; keys that are not valid names are skipped with an Event."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.configMapRef) != has(self.secretRef)", "envFrom needs exactly one of configMapRef and secretRef"
        ),
    )
    prefix: str = Field(
        default="", description="Put in front of every name.", max_length=64, pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$"
    )
    config_map_ref: ObjectReference | None = Field(default=None, description="A ConfigMap.")
    secret_ref: ObjectReference | None = Field(default=None, description="A Secret.")
