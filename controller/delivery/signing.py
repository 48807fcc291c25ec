"""Standard Webhooks signatures (requirement 6.2): secrets as their specification writes them, headers as it names them.

Promises: every secret that is given signs, so that one can be rotated out while the other is taken up; no secret is
part of a `repr`, a message or an exception.
"""

from __future__ import annotations

import base64
import binascii
import math
from datetime import UTC, datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
LEAST, MOST = 24, 64  # bytes of a secret (Standard Webhooks, "Signature scheme")
MAX_SECRETS = 8


class BadSecret(ValueError):
    """What was given is no signing secret; the message says why and never what it is."""


class Signer:
    """Signs with one or more secrets.

    Args:
        value: content of a Secret's key: secrets separated by white space, the one to be used longest first.

    Raises:
        BadSecret: see there.
    """

    def __init__(self, value: bytes) -> None:
        try:
            texts = value.decode("ascii").split()
        except UnicodeDecodeError:
            raise BadSecret(f"it is not text: it has to be {PREFIX} and base64") from None
        if not 0 < len(texts) <= MAX_SECRETS:
            raise BadSecret(f"it has {len(texts)} secrets: between 1 and {MAX_SECRETS}, separated by white space")
        self._texts = tuple(texts)
        self._keys = tuple(_key(text, number) for number, text in enumerate(texts, 1))

    def __repr__(self) -> str:
        return f"Signer({len(self._keys)} secrets)"

    def headers(self, id_: str, payload: str, at: datetime) -> dict[str, str]:
        """webhook-id, webhook-timestamp and webhook-signature of one try.

        Args:
            at: when it is sent; receivers refuse what is older than five minutes.
        """
        at = at.astimezone(UTC)
        signatures = (Webhook(key).sign(id_, at, payload) for key in self._keys)
        return {
            "webhook-id": id_,
            "webhook-timestamp": str(math.floor(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def revealing(self) -> list[bytes]:
        """What must not be kept of an answer: the secrets in the forms in which a receiver could show them."""
        texts = [text.encode() for text in self._texts]
        return [*texts, *(text.removeprefix(PREFIX.encode()) for text in texts), *self._keys]


def _key(text: str, number: int) -> bytes:
    if not text.startswith(PREFIX):
        raise BadSecret(f"secret {number} does not begin with {PREFIX}")
    body = text.removeprefix(PREFIX)
    try:
        key = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        raise BadSecret(f"secret {number} is not base64 after {PREFIX}") from None
    if not LEAST <= len(key) <= MOST:
        raise BadSecret(f"secret {number} has {len(key)} bytes: between {LEAST} and {MOST}")
    return key
