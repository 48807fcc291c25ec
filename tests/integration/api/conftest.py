"""The kinds on the real API server: one client for many small requests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, utils
from kubernetes.client.exceptions import ApiException

CRDS = Path(__file__).resolve().parents[3] / "crds"
LIMIT = 120.0


class Objects:
    """Creates, changes and reads objects of our kinds in one namespace; refusals come back as their message."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = client.CustomObjectsApi(api)
        self._where = {"group": "holdfast.dev", "version": "v1alpha1", "namespace": namespace}

    def create(self, plural: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(
            self._api.create_namespaced_custom_object(
                **self._where, plural=plural, body=body, field_validation="Strict", _request_timeout=60
            )
        )

    def patch(self, plural: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        return dict(
            self._api.patch_namespaced_custom_object(
                **self._where, plural=plural, name=name, body=change, field_validation="Strict", _request_timeout=60
            )
        )

    def patch_status(self, plural: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        return dict(
            self._api.patch_namespaced_custom_object_status(
                **self._where,
                plural=plural,
                name=name,
                body={"status": status},
                field_validation="Strict",
                _request_timeout=60,
            )
        )

    def refusal(self, call: Callable[..., Any], *arguments: Any) -> str:
        """The message with which the API server refuses the call: the object's fault and nothing else."""
        with pytest.raises(ApiException) as error:
            call(*arguments)
        assert error.value.status in (400, 422), error.value
        return str(json.loads(error.value.body)["message"])

    def get(self, plural: str, name: str) -> dict[str, Any]:
        return dict(
            self._api.get_namespaced_custom_object(**self._where, plural=plural, name=name, _request_timeout=60)
        )


@pytest.fixture(scope="session")
def api(plane: Any) -> Iterator[client.ApiClient]:
    """A client of the plane with our CRDs established."""
    made = config.new_client_from_config(str(plane.kubeconfig))
    with made:
        extensions = client.ApiextensionsV1Api(made)
        there = {item.metadata.name for item in extensions.list_custom_resource_definition().items}
        if not there:
            for path in sorted(CRDS.glob("*.yaml")):
                utils.create_from_yaml(made, str(path))
        wait_established(extensions)
        yield made


def wait_established(extensions: client.ApiextensionsV1Api) -> None:
    """Wait, with a limit, until every kind of `crds/` is served."""
    wanted = {path.stem + ".holdfast.dev" for path in CRDS.glob("*.yaml")}
    end = time.monotonic() + LIMIT
    while True:
        items = extensions.list_custom_resource_definition(_request_timeout=60).items
        ready = {
            item.metadata.name
            for item in items
            for condition in (item.status.conditions or ())
            if condition.type == "Established" and condition.status == "True"
        }
        if wanted <= ready:
            return
        assert time.monotonic() < end, f"not established within {LIMIT} s: {wanted - ready}"
        time.sleep(0.05)


@pytest.fixture
def objects(api: client.ApiClient, namespace: str) -> Objects:
    return Objects(api, namespace)
