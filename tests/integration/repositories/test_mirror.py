"""Clone and fetch: what they leave in place, and what they say about remotes that are not as they should be."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from controller.repositories import facts, fence, refs, requests
from controller.repositories.names import BadName
from controller.repositories.orders import Clone
from controller.repositories.requests import Remote
from controller.repositories.results import Reason
from tests.integration.repositories.homes import Home, Upstream, failed_as, git


def test_a_clone(home: Home) -> None:
    """5.1: all branches under refs/upstream, tags, nothing under refs/heads; complete, private, never collected."""
    result = home.clone()
    assert result.commit == home.upstream.head() and result.default_branch == "main" and result.object_format == "sha1"
    assert result.size_bytes > 5000 / 10
    assert set(refs.list_refs(home.mirror, refs.UPSTREAM)) == {"main", "topic/one"}
    assert set(refs.list_refs(home.mirror, refs.TAGS)) == {"light", "v1.0"}
    assert refs.list_refs(home.mirror, refs.HEADS) == {}
    assert home.mirror.stat().st_mode & 0o777 == 0o700
    made = facts.read_mirror(home.mirror)
    assert made is not None and made.url == home.remote.url and made.id == result.id
    assert fence.hook_is_installed(home.mirror)
    assert git(home.mirror, "config", "gc.auto").stdout == "0\n"
    assert home.half_made() == []


def test_clone_twice(home: Home) -> None:
    """5.2: done again it changes nothing; another remote is refused, because workspaces may borrow from this one."""
    home.clone()
    inode = home.mirror.stat().st_ino
    home.clone()
    assert home.mirror.stat().st_ino == inode
    other = Remote(f"file://{home.upstream.bare}/.", ("file",))
    failed_as(home.perform(requests.clone, other, "main"), Reason.OTHER_REMOTE, home.remote.url)


def test_an_empty_repository(empty: Home) -> None:
    """5.2: nothing to check out: said in one word, and a later try works."""
    failed_as(empty.perform(requests.clone, empty.remote, "main"), Reason.EMPTY_REPOSITORY, "first commit")
    assert not empty.mirror.exists() and empty.half_made() == []
    empty.upstream.commit({"a": "1\n"})
    empty.clone()


def test_an_unborn_default_branch(tmp_path: Path, empty: Home) -> None:
    """5.1: the remote's HEAD names a branch that does not exist; the others can be used."""
    commit = empty.upstream.commit({"a": "1\n"}, branch="develop")
    assert empty.clone().commit == ""
    failed_as(empty.perform(requests.workspace, "job.1", "main"), Reason.REF_NOT_FOUND, "main")
    assert git(empty.workspace("job.2", "develop"), "rev-parse", "HEAD").stdout.strip() == commit


def test_sha256(tmp_path: Path, empty: Home) -> None:
    """5.1: a repository of the other object format works from clone to push."""
    upstream = Upstream.make(tmp_path / "wide", object_format="sha256")
    upstream.commit({"a": "1\n"})
    home = dataclasses.replace(empty, upstream=upstream, remote=Remote(f"file://{upstream.bare}", ("file",)))
    result = home.clone()
    assert result.object_format == "sha256" and result.commit == upstream.head() and len(result.commit) == 64
    home.grant(1)
    workspace = home.workspace()
    commit = home.job_commit(workspace, "b")
    assert home.push(workspace, "main").returncode == 0
    upstream.commit({"c": "1\n"}, branch="later")
    home.fetch()
    assert home.perform(requests.publish, home.remote, "main", commit).succeeded


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "ext::sh -c true",
        "ssh://-oProxyCommand=x/y",
        "-x@host:path",
        "https://user:token@example.com/x",
        "file:///x\n--y",
        "/etc",
        "git://example.com/x",
    ],
)
def test_urls_that_git_must_not_see(home: Home, url: str) -> None:
    """1.2: refused when the request is made, and again by the operation itself."""
    target = home.target()
    with pytest.raises(BadName):
        requests.clone(target, Remote(url, ("file", "ssh", "https", "http")), "main")
    order = Clone(target.operation, str(home.repository), str(home.places.result(target.operation)), url, "ssh", "m", 5)
    request = dataclasses.replace(requests.clone(target, home.remote, "main"))
    request = dataclasses.replace(request, argv=(*request.argv[:-1], order.to_json()))
    home.start(request).communicate(timeout=60)
    result = requests.outcome(home.places, target.operation, 1)
    assert result is not None and result.reason is Reason.URL_REFUSED


def test_a_scheme_that_is_not_allowed(home: Home) -> None:
    """1.2: file:// is a setting."""
    with pytest.raises(BadName, match="scheme file"):
        requests.clone(home.target(), Remote(home.remote.url), "main")


def test_fetch_follows_the_remote(home: Home) -> None:
    """5.1: new commits, forced branches, removed branches, new annotated tags are all read from files at once."""
    home.clone()
    assert home.fetch().changed_refs == 0
    first = home.upstream.commit({"new": "1\n"})
    home.upstream.tag("v2.0", annotated=True)
    git(home.upstream.work, "push", "-q", "origin", ":topic/one")
    result = home.fetch()
    assert result.commit == first == refs.read_ref(home.mirror, "v2.0") and result.changed_refs == 3
    assert refs.read_ref(home.mirror, "topic/one") is None
    git(home.upstream.work, "commit", "-q", "--amend", "-m", "forced")
    forced = home.upstream.commit({})
    assert home.fetch().commit == forced
    git(home.mirror, "cat-file", "-e", first)  # a workspace may still borrow it


def test_a_branch_that_becomes_a_directory(home: Home) -> None:
    """5.1: `topic/one` goes and `topic/one/two` comes."""
    home.clone()
    git(home.upstream.work, "push", "-q", "origin", ":topic/one")
    commit = home.upstream.commit({"x": "1"}, branch="topic/one/two")
    home.fetch()
    assert refs.read_ref(home.mirror, "topic/one/two") == commit


def test_pushed_branches_follow_upstream(home: Home) -> None:
    """5.1: only forward, only while nobody may push; what diverged is told and left alone."""
    home.clone()
    home.grant(1)
    workspace = home.workspace()
    pushed = home.job_commit(workspace, "job")
    home.push(workspace, "main", "main:side")
    git(home.upstream.work, "fetch", "-q", str(home.mirror), "refs/heads/main")
    git(home.upstream.work, "reset", "-q", "--hard", "FETCH_HEAD")
    newer = home.upstream.commit({"owner": "1\n"})
    result = home.fetch()
    assert (result.fast_forwarded, result.diverged) == ((), ()) and refs.read_head(home.mirror, "main") == pushed
    home.grant()
    assert home.fetch().fast_forwarded == ("main",)
    assert refs.read_head(home.mirror, "main") == newer
    home.upstream.commit({"other": "1\n"}, branch="side")
    git(home.upstream.work, "reset", "-q", "--hard", "HEAD~3")
    home.upstream.commit({"apart": "1\n"}, branch="side")
    assert home.fetch().diverged == ("side",)
    assert refs.read_head(home.mirror, "side") == pushed


def test_a_remote_that_lost_everything(home: Home) -> None:
    """5.2: told as it is; what jobs pushed stays."""
    home.clone()
    home.grant(1)
    home.push(home.workspace(), "main:kept")
    git(home.upstream.work, "push", "-q", "origin", ":main", ":topic/one", check=False)
    for name in ("main", "topic/one"):
        git(home.upstream.bare, "update-ref", "-d", f"refs/heads/{name}")
    failed_as(home.perform(requests.fetch, home.remote, "main"), Reason.EMPTY_REPOSITORY)
    assert refs.read_ref(home.mirror, "kept")


def test_a_remote_that_is_gone(home: Home) -> None:
    """5.2: the mirror stays as it was."""
    home.clone()
    home.upstream.bare.rename(home.upstream.bare.with_name("moved"))
    failed_as(home.perform(requests.fetch, home.remote, "main"), Reason.REPOSITORY_NOT_FOUND)
    assert refs.read_ref(home.mirror, "main") == home.upstream.head()
    failed_as(home.perform(requests.clone, Remote("file:///nowhere", ("file",)), "main"), Reason.OTHER_REMOTE)


def test_many_packs_become_few(home: Home) -> None:
    """5.3: a mirror that is fetched for months stays quick, and keeps objects that only a workspace needs."""
    home.clone()
    lost = home.upstream.commit({"gone": "soon\n"})
    home.fetch()
    git(home.upstream.work, "reset", "-q", "--hard", "HEAD~1")
    home.upstream.commit({"back": "1\n"})
    home.fetch()
    packs = home.mirror / "objects" / "pack"
    for number in range(55):
        blob = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            cwd=home.mirror,
            input=f"{number}\n",
            text=True,
            capture_output=True,
            check=True,
        ).stdout
        subprocess.run(
            ["git", "pack-objects", "-q", "objects/pack/pack"],
            cwd=home.mirror,
            input=blob,
            text=True,
            check=True,
            capture_output=True,
        )
    home.fetch()
    assert len(list(packs.glob("*.pack"))) < 20
    git(home.mirror, "cat-file", "-e", lost)
    git(home.mirror, "cat-file", "-e", blob.strip())
