"""How a remote is reached: allowed schemes, and credentials that are read right before an operation (3.7)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from controller.api.repository import Repository
from controller.api.units import duration_seconds
from controller.errors import Waiting
from controller.kube.client import Api
from controller.kube.errors import NotFound
from controller.repositories.credentials import RETRY_SECONDS, secret_environment
from controller.repositories.requests import Remote


class Remotes:
    """Secrets are read when they are needed and kept nowhere.

    Args:
        schemes: of URLs that are allowed (setting `git_schemes`).
    """

    def __init__(self, api: Api, schemes: Sequence[str]) -> None:
        self._api = api
        self.schemes = tuple(schemes)

    async def remote(self, repository: Repository) -> Remote:
        """The remote of `repository` with its credentials.

        Raises:
            Waiting: its Secret is missing, or lacks a key.
            Transient: the API server could not answer.
        """
        reference = repository.spec.credentials_ref
        if reference is None:
            return Remote(repository.spec.url, self.schemes)
        namespace = repository.metadata.namespace
        try:
            secret = await self._api.get("Secret", namespace, reference.name)
        except NotFound:
            text = f"spec.credentialsRef: there is no Secret {reference.name} in namespace {namespace}"
            raise Waiting("CredentialsNotFound", text, RETRY_SECONDS) from None
        try:
            data = {key: base64.b64decode(value, validate=True) for key, value in (secret.get("data") or {}).items()}
        except binascii.Error:
            text = f"spec.credentialsRef: Secret {reference.name} holds data that is not base64"
            raise Waiting("CredentialsIncomplete", text, RETRY_SECONDS) from None
        return Remote(repository.spec.url, self.schemes, secret_environment(repository.spec.url, reference.name, data))

    @staticmethod
    def deadline(repository: Repository) -> float:
        """Seconds that one operation on the remote may take."""
        return duration_seconds(repository.spec.operation_deadline)
