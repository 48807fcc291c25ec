"""values.schema.json of charts/holdfast. Names that it does not know are refused, those of settings included."""

from __future__ import annotations

import json
from typing import Any

from controller.settings import Settings

Schema = dict[str, Any]

OF_THE_CHART = frozenset(
    (
        "home",
        "cache",
        "kubeconfig",
        "namespace",
        "container",
        "watch_namespace",
        "executors",
        "leader_election",
        "lease_name",
        "lease_seconds",
        "stop_grace_seconds",
        "http_host",
        "http_port",
        "pod_output",
        "workspace_image",
        "job_home",
        "callback_proxy",
    )
)
"""Settings that the templates set, that mean nothing in a Pod, or that belong into a Secret."""

DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
BOOLEAN = {"type": "boolean"}
TEXT = {"type": "string"}
ANY_OBJECT = {"type": "object"}
OBJECTS = {"type": "array", "items": ANY_OBJECT}
NAME = {"type": "string", "maxLength": 63, "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def _integer(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}


def _strict(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _settings() -> Schema:
    names = [f"HOLDFAST_{name.upper()}" for name in Settings.model_fields if name not in OF_THE_CHART]
    return _strict(**{name: {"type": ["string", "number", "boolean"]} for name in sorted(names)})


def _monitor(**more: Schema) -> Schema:
    return _strict(enabled=BOOLEAN, labels=TEXTS, **more)


def values_schema() -> Schema:
    """The schema as JSON Schema draft 7, which Helm checks values against."""
    quantity = {"type": "string", "pattern": "^([0-9.]+([EPTGMk]i?|m)?)?$"}
    schema = _strict(
        **{"global": ANY_OBJECT},
        nameOverride=NAME,
        fullnameOverride=NAME,
        watchNamespace=NAME,
        replicaCount=_integer(0, 9),
        image=_strict(
            repository={"type": "string", "minLength": 1},
            tag={"type": "string", "maxLength": 128},
            digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        ),
        imagePullSecrets=OBJECTS,
        settings=_settings(),
        extraEnv=OBJECTS,
        extraEnvFrom=OBJECTS,
        output=_strict(url={"type": "string", "pattern": "^([a-z][a-z0-9+.-]*://[^/@]*(/.*)?)?$"}, existingClaim=TEXT),
        leaderElection=_strict(leaseSeconds=_integer(5, 300)),
        stopGraceSeconds=_integer(1, 3600),
        http=_strict(host={"type": "string", "minLength": 1}, port=_integer(1024, 65535)),
        service=_strict(enabled=BOOLEAN, annotations=TEXTS),
        serviceAccount=_strict(create=BOOLEAN, name=TEXT, annotations=TEXTS),
        rbac=_strict(
            create=BOOLEAN,
            secrets=_strict(enabled=BOOLEAN, namespaces={"type": "array", "items": NAME, "uniqueItems": True}),
            aggregate=BOOLEAN,
        ),
        podDisruptionBudget=_strict(enabled=BOOLEAN, minAvailable={"type": ["integer", "string"]}),
        networkPolicy=_strict(enabled=BOOLEAN, ingressFrom=OBJECTS, egress=OBJECTS),
        serviceMonitor=_monitor(interval=DURATION),
        podMonitor=_monitor(interval=DURATION),
        prometheusRule=_monitor(runbookBaseUrl=TEXT),
        dashboard=_monitor(),
        resources=_strict(requests=ANY_OBJECT, limits=ANY_OBJECT, claims=OBJECTS),
        stateSizeLimit=quantity,
        podLabels=TEXTS,
        podAnnotations=TEXTS,
        priorityClassName=TEXT,
        nodeSelector=TEXTS,
        tolerations=OBJECTS,
        affinity=ANY_OBJECT,
        topologyKeys={"type": "array", "items": TEXT, "uniqueItems": True},
        extraVolumes=OBJECTS,
        extraVolumeMounts=OBJECTS,
    )
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def values_schema_file() -> str:
    """Content of values.schema.json."""
    return json.dumps(values_schema(), indent=2) + "\n"
