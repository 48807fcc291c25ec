"""Durations and quantities as the kinds write them, and their values in seconds, bytes and cores."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

DURATION_PATTERN = r"^([0-9]+(ms|s|m|h))+$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"

MAX_DURATION = "87600h"  # ten years: now plus any duration stays a date that datetime can hold
MAX_DURATION_SECONDS = 87600 * 3600

_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DECIMAL = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def duration_seconds(text: str) -> float:
    """Seconds of a duration such as `1h30m` or `250ms`.

    Raises:
        ValueError: `text` does not match DURATION_PATTERN.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"not a duration such as 90s or 1h30m: {text!r}")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def quantity_value(text: str) -> Decimal:
    """Value of a Kubernetes quantity such as `512Mi`, `2` or `500m`, in its base unit (bytes, cores).

    Raises:
        ValueError: `text` is not a quantity of the supported suffixes.
    """
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    if not re.fullmatch(QUANTITY_PATTERN, text) or match is None:
        raise ValueError(f"not a quantity such as 512Mi or 500m: {text!r}")
    number, suffix = match.groups()
    try:
        value = Decimal(number)
    except InvalidOperation as error:
        raise ValueError(f"not a quantity: {text!r}") from error
    if suffix == "m":
        return value / 1000
    if suffix.endswith("i"):
        return value * Decimal(1024) ** _DECIMAL["k" if suffix == "Ki" else suffix[0]]
    return value * Decimal(1000) ** _DECIMAL[suffix]


def _check_duration(text: str) -> str:
    if duration_seconds(text) > MAX_DURATION_SECONDS:
        raise ValueError(f"longer than {MAX_DURATION}: {text!r}")
    return text


def _check_quantity(value: object) -> str:
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str):
        raise ValueError(f"not a quantity such as 512Mi or 500m: {value!r}")
    quantity_value(text)
    return text


# The JSON schemas say what the validators say, in the API server's words.
Duration = Annotated[
    str,
    AfterValidator(_check_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "maxLength": 32,
            "x-kubernetes-validations": [
                {
                    "rule": f"duration(self) <= duration('{MAX_DURATION}')",
                    "message": f"a duration is at most {MAX_DURATION}",
                    "reason": "FieldValueInvalid",
                }
            ],
        }
    ),
]
Quantity = Annotated[
    str,
    BeforeValidator(_check_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "maxLength": 32,
            "minimum": 0,
        }
    ),
]
