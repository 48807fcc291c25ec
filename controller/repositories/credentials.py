"""From the data of the Secret that `spec.credentialsRef` names to the environment of an operation.

The values go through the supervisor's stdin; messages name keys, never values.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.errors import Waiting
from controller.repositories.names import scheme

TOKEN, USERNAME, SSH_KEY, KNOWN_HOSTS = "token", "username", "sshKey", "knownHosts"
RETRY_SECONDS = 15.0  # Secrets are not watched
_DEFAULT_USERNAME = "git"  # forges that take a token do not look at the name
_LIMIT = 65536
_NEEDED = {"https": (TOKEN,), "http": (TOKEN,), "ssh": (SSH_KEY, KNOWN_HOSTS), "file": ()}
_VARIABLES = {
    TOKEN: "HOLDFAST_GIT_TOKEN",
    USERNAME: "HOLDFAST_GIT_USERNAME",
    SSH_KEY: "HOLDFAST_GIT_SSH_KEY",
    KNOWN_HOSTS: "HOLDFAST_GIT_KNOWN_HOSTS",
}


def secret_environment(url: str, secret: str, data: Mapping[str, bytes]) -> dict[str, str]:
    """Environment variables for an operation on `url`.

    Args:
        url: of the remote; its scheme says which keys are needed.
        secret: name of the Secret, for messages.
        data: its decoded data.

    Raises:
        Waiting: a key is missing, empty or no text; the message names it.
    """
    kind = scheme(url)
    found = {}
    for key in _NEEDED.get(kind, ()):
        found[_VARIABLES[key]] = _text(kind, secret, key, data.get(key))
    if TOKEN in _NEEDED.get(kind, ()):
        username = data.get(USERNAME)
        found[_VARIABLES[USERNAME]] = _text(kind, secret, USERNAME, username) if username else _DEFAULT_USERNAME
    for key in (TOKEN, USERNAME):  # git reads one line each: a newline at the end is of the file, not of the value
        if _VARIABLES[key] in found:
            found[_VARIABLES[key]] = _one_line(secret, key, found[_VARIABLES[key]])
    return found


def secret_references(url: str) -> Mapping[str, tuple[str, bool]]:
    """Environment variables of an operation on `url`, each with the key of the Secret and whether it may be missing."""
    needed = dict.fromkeys(_NEEDED.get(scheme(url), ()), False)
    if TOKEN in needed:
        needed[USERNAME] = True
    return {_VARIABLES[key]: (key, optional) for key, optional in needed.items()}


def _text(kind: str, secret: str, key: str, value: bytes | None) -> str:
    what = f"spec.credentialsRef: Secret {secret}"
    if not value:
        raise Waiting(
            "CredentialsIncomplete", f"{what} has no {key}, which URLs of scheme {kind} need: add it", RETRY_SECONDS
        )
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or len(value) > _LIMIT:
        message = f"{what}: {key} is not text of at most {_LIMIT} bytes: correct it"
        raise Waiting("CredentialsIncomplete", message, RETRY_SECONDS)
    return text


def _one_line(secret: str, key: str, value: str) -> str:
    text = value.strip()
    if not text or len(text.splitlines()) != 1:
        message = f"spec.credentialsRef: Secret {secret}: {key} is not one line: correct it"
        raise Waiting("CredentialsIncomplete", message, RETRY_SECONDS)
    return text
