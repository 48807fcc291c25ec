"""What the errors of file systems of fsspec mean, in our words: which address, why, what to do (requirement 7.10).

botocore's errors are told by their names and codes: nothing here imports it.
"""

from __future__ import annotations

import re
import sys
from concurrent.futures import CancelledError
from typing import Any

from controller.errors import HoldfastError, Terminal, Transient

NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
UNREACHABLE = frozenset(
    {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "HTTPClientError",
        "ProxyConnectionError",
        "SSLError",
    }
)
BAD_NAME = frozenset({"ParamValidationError", "InvalidRegionError"})
REFUSED_CODES = frozenset(  # those that come with 400 too
    {
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "XAdminUserNotFound",  # versitygw's word for InvalidAccessKeyId
    }
)
NO_BUCKET = "NoSuchBucket"
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role, in the environment of this process"

_USERINFO = re.compile(r"//[^/@\s\"']+@")


def failures() -> tuple[type[BaseException], ...]:
    """The exceptions by which a file system says that something is wrong with the world."""
    found: list[type[BaseException]] = [OSError, ValueError, CancelledError]
    for module, names in (("botocore.exceptions", ("BotoCoreError", "ClientError")), ("aiohttp", ("ClientError",))):
        loaded = sys.modules.get(module)
        found += [getattr(loaded, name) for name in names] if loaded is not None else []
    return tuple(found)


def is_no_bucket(error: BaseException) -> bool:
    """Whether it is the bucket that is not there."""
    return _code(error) == NO_BUCKET


def told(address: str, error: BaseException, seconds: float) -> HoldfastError:
    """The error to raise.

    Args:
        address: that was asked.
        error: what was raised.
        seconds: the limit of the call.
    """
    where, name, code = clean(address), type(error).__name__, _code(error)
    said = clean(" ".join(str(getattr(error, "strerror", None) or error).split())) or name
    if isinstance(error, CancelledError):
        return Transient("Stopping", f"{where}: the process stops")
    if name in NO_CREDENTIALS:
        return Transient("NoCredentials", f"{where}: {said}; set {CREDENTIALS}")
    if code == NO_BUCKET:
        return Transient("NoBucket", f"{where}: the bucket is not there; make it, or name another one")
    if code in REFUSED_CODES or _http_status(error) in (401, 403) or isinstance(error, PermissionError):
        return Transient("AccessRefused", f"{where}: {code or name}: {said}; check {CREDENTIALS}, and its rights")
    if isinstance(error, TimeoutError):
        return Transient("Unreachable", f"{where}: no end within {seconds:.0f} s; check that the server answers")
    if name in UNREACHABLE:
        return Transient("Unreachable", f"{where}: {said}; check the network and AWS_ENDPOINT_URL")
    if name == "FlexibleChecksumError":
        return Transient("Damaged", f"{where}: what was read is not what was stored: {said}")
    if name in BAD_NAME or (isinstance(error, ValueError) and not isinstance(error, OSError)):
        return Terminal("BadAddress", f"{where}: {said}")
    return Transient("RemoteFailed", f"{where}: {f'{code}: ' if code else ''}{said}")


def clean(text: str) -> str:
    """`text` without names and passwords in URLs."""
    return _USERINFO.sub("//[hidden]@", text)


def _code(error: BaseException) -> str:
    return str(_response(error).get("Error", {}).get("Code") or "")


def _http_status(error: BaseException) -> int:
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _response(error: BaseException) -> dict[str, Any]:
    """What botocore tells of an answer, of the error itself or of what s3fs made it from."""
    for each in (error, error.__cause__, error.__context__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return response
    return {}
