"""Further headers of a callback, from a Secret: what may be one, and what is Holdfast's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_HEADERS = 32
MAX_VALUE = 8192

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # a token (RFC 9110 5.6.2)
_OURS = re.compile(
    r"webhook-.*|content-.*|host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|user-agent|"
    r"accept-encoding|proxy-.*|forwarded|x-forwarded-.*|cookie2?",
    re.IGNORECASE,
)


class BadHeader(ValueError):
    """A key or value that is no header; the message names the key, never the value."""


def further_headers(data: Mapping[str, bytes]) -> dict[str, str]:
    """The data of a Secret as headers.

    Raises:
        BadHeader: see there.
    """
    if len(data) > MAX_HEADERS:
        raise BadHeader(f"it has {len(data)} keys: at most {MAX_HEADERS} headers")
    return {name: _value(name, value) for name, value in data.items()}


def _value(name: str, value: bytes) -> str:
    if not _NAME.fullmatch(name):
        raise BadHeader(f"{name!r} is no name of a header")
    if _OURS.fullmatch(name):
        raise BadHeader(f"{name} is a header that Holdfast sets itself, or that is of one connection only")
    text = value.strip()  # a newline at the end is of the file that it was made from
    if len(text) > MAX_VALUE or not all(0x20 <= c < 0x7F or c == 0x09 for c in text):
        raise BadHeader(f"the value of {name} is not one line of printable ASCII of at most {MAX_VALUE} characters")
    return text.decode("ascii")
