"""Fixtures of all tests of repositories: a state directory with a remote of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.repositories.places import Places
from controller.repositories.requests import Remote
from tests.integration.repositories.homes import Home, Upstream, git


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    """A remote without any commit."""
    upstream = Upstream.make(tmp_path / "upstream")
    return Home(Places(tmp_path / "home"), upstream, Remote(f"file://{upstream.bare}", ("file",)))


@pytest.fixture
def home(empty: Home) -> Home:
    """A remote with two commits, a branch, and two tags."""
    empty.upstream.commit({"README": "first\n"})
    empty.upstream.tag("light", annotated=False)
    empty.upstream.tag("v1.0", annotated=True)
    empty.upstream.commit({"src/code.py": "print('second')\n", "data.bin": "x" * 5000})
    empty.upstream.commit({"feature": "1\n"}, branch="topic/one")
    git(empty.upstream.work, "reset", "-q", "--hard", "HEAD~1")
    return empty
