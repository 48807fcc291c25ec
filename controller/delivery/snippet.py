"""The beginning of an answer as it may be kept: text, without control characters and without secrets (6.4)."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "[secret]"


def snippet(body: bytes, secrets: Iterable[bytes], limit: int) -> str:
    """`body` as text of at most `limit` bytes; every secret in it, in the usual encodings too, is replaced.

    Args:
        body: beginning of the answer; longer than `limit`, so that a secret at the cut is seen whole.
    """
    if not body:
        return ""
    text = body.decode("utf-8", errors="replace")
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    shown = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
    return shown.encode()[:limit].decode(errors="ignore")


def _forms(secret: bytes) -> set[str]:
    """As it is, in base64 and hex, and escaped as in JSON, URLs and HTML."""
    if not secret:
        return set()
    encoded = {base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode(), secret.hex()}
    forms = encoded | {form.rstrip("=") for form in encoded} | {secret.hex().upper()}
    try:
        text = secret.decode("utf-8")
    except UnicodeDecodeError:
        return forms
    plain = json.dumps(text)[1:-1]
    forms |= {text, plain, plain.replace("/", "\\/"), json.dumps(text, ensure_ascii=False)[1:-1]}
    return forms | {quote(text), quote(text, safe=""), quote_plus(text), html.escape(text)}
