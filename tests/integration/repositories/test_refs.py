"""Refs of a mirror as the controller reads them, against what git itself says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from controller.api import repository as api
from controller.repositories import names, refs
from controller.repositories.refs import read_ref
from tests.integration.repositories.homes import Home, git


def said(home: Home, name: str) -> str:
    """What git resolves a name to."""
    return git(home.mirror, "rev-parse", f"{name}^{{commit}}").stdout.strip()


def test_what_a_ref_stands_for(home: Home) -> None:
    """5.1: a branch of the remote, a light tag, an annotated tag, a whole commit id; anything else is None."""
    home.clone()
    assert read_ref(home.mirror, "main") == home.upstream.head() == said(home, "refs/upstream/main")
    assert read_ref(home.mirror, "topic/one") == said(home, "refs/upstream/topic/one")
    assert read_ref(home.mirror, "light") == said(home, "refs/tags/light")
    assert read_ref(home.mirror, "v1.0") == said(home, "refs/tags/v1.0")
    assert read_ref(home.mirror, "0" * 40) == "0" * 40
    assert read_ref(home.mirror, "absent") is None
    assert read_ref(home.mirror, "topic") is None


def test_what_jobs_pushed_wins(home: Home) -> None:
    """5.5: a branch that jobs pushed is what the next job gets, loose or packed, and the remote's is still there."""
    home.clone()
    home.grant(1)
    workspace = home.workspace()
    commit = home.job_commit(workspace, "new")
    assert home.push(workspace, "main").returncode == 0
    for _ in range(2):
        assert read_ref(home.mirror, "main") == commit
        assert refs.read_head(home.mirror, "main", refs.UPSTREAM) == home.upstream.head()
        git(home.mirror, "-c", "core.hooksPath=/dev/null", "pack-refs", "--all")
    assert refs.list_refs(home.mirror, refs.HEADS) == {"main": commit}
    # In mid-fetch: the remote's branch is loose, the pushed one is packed.
    other = said(home, "refs/upstream/topic/one")
    git(home.mirror, "-c", "core.hooksPath=/dev/null", "update-ref", "refs/upstream/main", other)
    assert read_ref(home.mirror, "main") == commit


def test_a_loose_ref_wins_over_a_packed_one(home: Home) -> None:
    """5.1: gitrepository-layout(5), packed-refs."""
    home.clone()
    other = said(home, "refs/upstream/topic/one")
    git(home.mirror, "-c", "core.hooksPath=/dev/null", "update-ref", "refs/upstream/main", other)
    assert read_ref(home.mirror, "main") == other
    assert refs.list_refs(home.mirror, refs.UPSTREAM)["main"] == other


@pytest.mark.parametrize("content", [b"", b"\0" * 41, b"ref: refs/heads/x\n", b"0123\n"])
def test_a_file_that_is_no_ref(home: Home, content: bytes) -> None:
    """7.5: what a power cut or a job left in the place of a ref is no commit."""
    home.clone()
    path = home.mirror / "refs" / "heads" / "odd"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert read_ref(home.mirror, "odd") is None
    assert refs.list_refs(home.mirror, refs.HEADS) == {}


@pytest.mark.parametrize(
    "ref", ["-x", "--upload-pack=x", "..", "a/../b", "a..b", "a b", "a\n", "", "/a", "a.lock", "@{1}"]
)
def test_no_ref_is_an_option_or_a_path(home: Home, ref: str) -> None:
    """1.2: such a value gets nowhere near git or a path."""
    home.clone()
    with pytest.raises(names.BadName):
        read_ref(home.mirror, ref)


def test_without_a_mirror(tmp_path: Path) -> None:
    """7.5: no mirror is not the same as no ref."""
    with pytest.raises(FileNotFoundError):
        read_ref(tmp_path, "main")


def test_a_mirror_with_many_refs_is_read_quickly(home: Home) -> None:
    """10.1: the event loop reads refs: 100,000 of them cost it milliseconds."""
    home.clone()
    commit = home.upstream.head()
    with (home.mirror / "packed-refs").open("a") as file:
        file.writelines(f"{commit} refs/upstream/z/{number:06}\n" for number in range(100_000))
    took = []
    for _ in range(5):  # the best of them: anything may stand still once
        began = time.perf_counter()
        assert read_ref(home.mirror, "z/099999") == commit
        took.append(time.perf_counter() - began)
    assert min(took) < 0.2, took


def test_the_api_server_refuses_the_same() -> None:
    """1.2: both ends have one idea of a ref and of a URL."""
    assert names.REF == api.REF
    assert names.URL == api.URL
