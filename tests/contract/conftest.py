"""The fixture of the contract tests: one subject per executor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.subjects import ProcessSubject, Subject


@pytest.fixture(params=["process"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """An executor with nothing in it."""
    made = ProcessSubject(tmp_path)
    yield made
    await made.close()
