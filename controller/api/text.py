"""What texts in the kinds may look like: patterns of names, keys, refs and arguments."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
CONFIG_KEY = r"^[-._a-zA-Z0-9]+$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"  # dash drops any other name from the environment (design 6)

NO_NUL = r"^[^\x00]*$"  # execve takes strings that end at the first NUL

Argument = Annotated[str, Field(max_length=65536, pattern=NO_NUL)]

# What git check-ref-format(1) allows, less what could be read as an option, a path or a range.
REF = r"^[A-Za-z0-9_][A-Za-z0-9_.+@/-]*$"
COMMIT = r"^([0-9a-f]{40}|[0-9a-f]{64})?$"
