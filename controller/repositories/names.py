"""What may become a path, a ref or a URL: nothing that passes here can be read as an option or lead out of a directory.

The API server refuses the same things first (`controller.api.repository`); what runs git looks again, because it is the
last place where it can. Only the standard library may be imported here.
"""

from __future__ import annotations

import re
from collections.abc import Collection

REF = r"^[A-Za-z0-9_][A-Za-z0-9_.+@/-]*$"
URL = (
    r"^((https?|ssh|file)://[^\s\x00-\x1f\x7f]+"
    r"|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:\x00-\x1f-][^\s\x00-\x1f]*)$"
)
_REF = re.compile(REF)
_URL = re.compile(URL)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}(\.[0-9]{1,9})?")
_KEY = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})-[a-z0-9]{1,32}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF_PARTS = ("..", "//", "@{", "/.", ".lock/")
_REF_ENDS = ("/", ".", ".lock")


class BadName(ValueError):
    """The text says which value it is and what it may be."""


def check_label(text: str, what: str) -> str:
    """A DNS label (RFC 1123): namespaces and names of Repositories; raises BadName."""
    if _LABEL.fullmatch(text) is None:
        raise BadName(f"{what} {text!r} is not a DNS label, so it cannot name a directory")
    return text


def check_attempt(text: str, what: str) -> str:
    """`<uid>.<number>`, or only a uid; raises BadName."""
    if _NAME.fullmatch(text) is None:
        raise BadName(f"{what} {text!r} is not <uid>.<number>, so it cannot name a directory")
    return text


def check_key(text: str) -> str:
    """`<commit>-<word>`: names a base; raises BadName."""
    if _KEY.fullmatch(text) is None:
        raise BadName(f"{text!r} is not <commit>-<word>, so it cannot name a base")
    return text


def check_ref(text: str) -> str:
    """A branch, tag or whole commit id without its `refs/…/` (git-check-ref-format(1)); raises BadName."""
    bad = any(part in text for part in _REF_PARTS) or text.endswith(_REF_ENDS)
    if _REF.fullmatch(text) is None or bad or len(text) > 250:
        raise BadName(f"{text[:80]!r} is not the name of a branch or a tag, nor a whole commit id")
    return text


def is_commit(text: str) -> bool:
    """Whether it is a whole object id, of SHA-1 or SHA-256."""
    return _COMMIT.fullmatch(text) is not None


def scheme(url: str) -> str:
    """https, http, ssh or file; `user@host:path` is ssh."""
    return url.partition("://")[0] if "://" in url else "ssh"


def check_url(url: str, schemes: Collection[str]) -> str:
    """A remote that git may be told; raises BadName.

    Args:
        schemes: the allowed ones, for example `("https", "ssh")`.
    """
    if _URL.fullmatch(url) is None or re.match(r"[a-z]+://-", url) or re.match(r"https?://[^/]*@", url):
        raise BadName("the URL is not https://…, http://…, ssh://…, user@host:path or file://… without credentials")
    if scheme(url) not in schemes:
        raise BadName(f"URLs of scheme {scheme(url)} are not allowed here, only {', '.join(sorted(schemes))}")
    return url
