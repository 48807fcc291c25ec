"""Structured logs (requirement 9.6)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from controller.telemetry.log import FIRST_KEYS, configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was for the other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_keys_are_stable_and_in_order() -> None:
    """Requirement 9.6: the same keys for the same things, in one order."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("controller.reconcile").info("attempt started", zebra=1, attempt=2, job="a", namespace="ns")
    (line,) = lines(stream)
    assert line["event"] == "attempt started"
    assert line["level"] == "info"
    assert line["logger"] == "controller.reconcile"
    assert line["time"].endswith("Z")
    assert list(line) == [*(key for key in FIRST_KEYS if key in line), "zebra"]


def test_the_standard_library_goes_the_same_way() -> None:
    """Requirement 9.6: kopf, aiohttp and asyncio log through it too."""
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("kopf._core.reactor").warning("from %s", "kopf")
    logging.getLogger("aiohttp.access").info("GET /")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("from kopf", "kopf._core.reactor", "warning")


def test_a_trace_is_one_line() -> None:
    """Requirement 9.6: an error with its trace stays one JSON object."""
    stream = io.StringIO()
    configure("info", "json", stream)
    try:
        raise ZeroDivisionError("a defect")
    except ZeroDivisionError as error:
        structlog.get_logger("x").error("reconcile failed", exc_info=error)
    (line,) = lines(stream)
    assert "ZeroDivisionError: a defect" in line["exception"]


def test_the_level_is_kept() -> None:
    """Requirement 9.6: HOLDFAST_LOG_LEVEL."""
    stream = io.StringIO()
    configure("warning", "json", stream)
    structlog.get_logger("x").info("no")
    logging.getLogger("y").info("no")
    structlog.get_logger("x").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_secrets_are_masked() -> None:
    """Requirement 3.7: secrets never in logs, also where a caller was careless with a name."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("x").info("launch", secret_env={"A": "hunter2"}, request={"Authorization": "Bearer hunter2"})
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0]["request"] == {"Authorization": "[hidden]"}


def test_a_second_set_up_replaces_the_first() -> None:
    """Requirement 9.6: no line twice."""
    first, second = io.StringIO(), io.StringIO()
    configure("info", "json", first)
    configure("info", "json", second)
    structlog.get_logger("x").info("once")
    assert first.getvalue() == "" and len(lines(second)) == 1


def test_console_lines_are_for_people() -> None:
    """Requirement 9.6: console format."""
    stream = io.StringIO()
    configure("info", "console", stream)
    structlog.get_logger("controller.app").info("started", job="a")
    assert "started" in stream.getvalue() and "job=a" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_trace_shows_no_values(format_: Literal["console", "json"]) -> None:
    """Requirement 3.7: a trace tells where, not what the variables held: a Secret's value may be among them."""
    stream = io.StringIO()
    configure("info", format_, stream)
    held = "".join(("hun", "ter2"))
    try:
        raise ZeroDivisionError("a defect")
    except ZeroDivisionError as error:
        structlog.get_logger("x").error("reconcile failed", exc_info=error)
        logging.getLogger("y").exception("failed")
    assert "ZeroDivisionError" in stream.getvalue() and held not in stream.getvalue()
