"""Durations and quantities (design 3): what the API server lets through has a value, and nothing else has."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from controller.api.units import Duration, Quantity, duration_seconds, quantity_value

DURATION: TypeAdapter[str] = TypeAdapter(Duration)
QUANTITY: TypeAdapter[str] = TypeAdapter(Quantity)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("1h30m", 5400), ("250ms", 0.25), ("1m1ms", 60.001), ("2h2h", 14400), ("0090s", 90)],
)
def test_duration_has_the_value_that_it_says(text: str, seconds: float) -> None:
    """1.2"""
    assert duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1.5h", "1d", "1h ", " 1h", "1h\n", "1H", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """1.2"""
    with pytest.raises(ValueError, match="not a duration"):
        duration_seconds(text)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h"])), min_size=1, max_size=4))
def test_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    """1.2: any sequence of parts, in any order."""
    unit = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    text = "".join(f"{number}{name}" for number, name in parts)
    assert duration_seconds(text) == pytest.approx(sum(number * unit[name] for number, name in parts))


def test_a_duration_is_at_most_ten_years() -> None:
    """1.2: now plus any declared duration is a date."""
    assert DURATION.validate_python("87600h") == "87600h"
    for text in ("87601h", "99999999999999999999h"):
        with pytest.raises(ValidationError, match="longer than 87600h"):
            DURATION.validate_python(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("512Mi", 512 * 1024**2),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5Gi", Decimal("1.5") * 1024**3),
        ("500m", Decimal("0.5")),
        ("2", 2),
        ("3M", 3 * 10**6),
        ("1Ei", 1024**6),
        ("1E", 10**18),
    ],
)
def test_quantity_has_the_value_that_it_says(text: str, value: Decimal | int) -> None:
    """1.2: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
    assert quantity_value(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1e3", "Mi", "1 Gi", "1KI", "1.2.3", ".5", "1K", "1Gi\n", "٣"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """1.2"""
    with pytest.raises(ValueError, match="not a quantity"):
        quantity_value(text)


def test_a_quantity_may_be_a_number() -> None:
    """1.2: `cpu: 2` is what people write; booleans and fractions are not numbers of anything here."""
    assert QUANTITY.validate_python(2) == "2"
    for value in (True, 1.5, None, [1]):
        with pytest.raises(ValidationError):
            QUANTITY.validate_python(value)
