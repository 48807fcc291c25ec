"""Structured logs with stable keys (requirement 9.6): time, level, event, logger, then what the line is about.

Every line of the standard library's logging (kopf, aiohttp, asyncio) goes the same way. Values of Secrets are never
logged: no part of Holdfast has them but the launch, and values under the names of SECRET_KEYS are masked here besides.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO

import structlog

FIRST_KEYS = ("time", "level", "event", "logger", "namespace", "job", "attempt", "queue", "reason", "error")
SECRET_KEYS = frozenset({"secret_env", "token", "authorization", "password", "secret", "headers"})
MASK = "[hidden]"
# At debug level botocore and s3fs show what they sign with and what they send.
QUIET = dict.fromkeys(
    ("aiohttp.access", "asyncio", "kubernetes", "botocore", "aiobotocore", "s3fs", "fsspec"), logging.WARNING
)

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]


def configure(level: Level, format_: Format, stream: TextIO | None = None) -> None:
    """Set up logging for this process; a second call replaces the first.

    Args:
        format_: auto is console on a terminal, else one JSON object a line.
        stream: default is stderr.
    """
    stream = stream if stream is not None else sys.stderr
    as_json = format_ == "json" or (format_ == "auto" and not stream.isatty())
    number = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(as_json, stream)],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "holdfast", False):
            root.removeHandler(old)
    handler.holdfast = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(number)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(number, least))


def _renderers(as_json: bool, stream: TextIO) -> list[Any]:
    if not as_json:
        plain = structlog.dev.plain_traceback  # the default shows local variables, values of Secrets among them
        return [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), timestamp_key="time", sort_keys=False, exception_formatter=plain
            )
        ]
    return [
        structlog.processors.format_exc_info,
        stable_order,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def hide_secrets(_: Any, __: str, line: Any) -> Any:
    """Mask what stands under a name that means a secret, at the top and one level below."""
    for key, value in line.items():
        if key.lower() in SECRET_KEYS:
            line[key] = MASK
        elif isinstance(value, dict):
            line[key] = {k: MASK if str(k).lower() in SECRET_KEYS else v for k, v in value.items()}
    return line


def stable_order(_: Any, __: str, line: Any) -> dict[str, Any]:
    """The keys of FIRST_KEYS first, in their order; then the others, sorted."""
    first = {key: line[key] for key in FIRST_KEYS if key in line}
    return first | {key: line[key] for key in sorted(line) if key not in first}
