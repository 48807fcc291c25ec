"""The checkout that a Pod makes for itself: what the job finds, what is said of failures (issue 7.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from controller.repositories.orders import Checkout
from tests.integration.repositories.homes import Home, git
from tests.integration.repositories.pod_program import TOKEN, Ran, perform, place_of
from tests.integration.repositories.servers import Web, serve


@pytest.fixture
def web(home: Home) -> Iterator[Web]:
    """The remote over HTTP; it wants the token."""
    with serve(Web(home.upstream.bare.parent, token=TOKEN)) as running:
        yield running


@dataclass(frozen=True)
class Made(Ran):
    """And where the checkout is."""

    target: Path


def run(
    home: Home,
    url: str,
    commit: str,
    ref: str = "main",
    schemes: str = "http",
    token: str = f"{TOKEN}\n",
    **more: bool,
) -> Made:
    """As the init container does."""
    place = place_of(home)
    message, target = str(place / "termination-log"), place / "shop"
    order = Checkout("job.1", str(place), message, url, schemes, ref, 30, commit, str(target), 50.0, "J", "j@x")
    ran = perform(home, replace(order, **more), token)
    return Made(ran.code, ran.output, ran.said, target)


def test_a_branch(home: Home, web: Web) -> None:
    """5.3: the recorded commit on its branch, clean, also where the branch moved; made again it is made anew."""
    url, decided = f"{web.url}/remote.git", home.upstream.head()
    later = home.upstream.commit({"later": "1\n"})
    for _ in range(2):
        made = run(home, url, decided)
        assert (made.code, made.said) == (0, ""), made.output
    assert git(made.target, "rev-parse", "HEAD", "main", "origin/main").stdout.split() == [decided, decided, later]
    assert git(made.target, "status", "--porcelain=v1", "-b").stdout == "## main...origin/main [behind 1]\n"
    assert git(made.target, "remote", "get-url", "origin").stdout.strip() == url
    assert git(made.target, "config", "user.email").stdout == "j@x\n"
    assert git(made.target, "rev-parse", "v1.0^{commit}", "origin/topic/one").stdout
    everything = b"".join(path.read_bytes() for path in made.target.rglob("*") if path.is_file())
    assert TOKEN.encode() not in everything
    assert sorted(path.name for path in made.target.parent.iterdir()) == ["shop", "termination-log", "tmp"]
    assert not list((made.target.parent / "tmp").iterdir())


def test_a_tag(home: Home, web: Web) -> None:
    """5.3: a detached HEAD."""
    commit = git(home.upstream.work, "rev-parse", "v1.0^{commit}").stdout.strip()
    made = run(home, f"{web.url}/remote.git", commit, ref="v1.0")
    assert made.code == 0, made.output
    assert git(made.target, "rev-parse", "HEAD").stdout.strip() == commit
    assert git(made.target, "symbolic-ref", "HEAD", check=False).returncode != 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token": "wrong"}, "AuthenticationFailed"),
        ({"commit": "f" * 40}, "RefNotFound"),
        ({"commit": ""}, "RefNotFound"),
        ({"schemes": "https"}, "UrlRefused"),
        ({"url": "http://127.0.0.1:9/none.git"}, "RemoteUnreachable"),
        ({"ref": "--upload-pack=x"}, "UrlRefused"),
        ({"url": "ext::sh -c id"}, "UrlRefused"),
    ],
)
def test_failures(home: Home, web: Web, change: dict[str, str], reason: str) -> None:
    """Issue 7, "Bad input": the termination message says why; there is no checkout, and nothing half-made."""
    made = run(home, **{"url": f"{web.url}/remote.git", "commit": home.upstream.head(), **change})
    assert made.code == 1, made.output
    assert json.loads(made.said)["reason"] == reason
    assert json.loads(made.said)["message"]
    assert sorted(path.name for path in made.target.parent.iterdir()) == ["termination-log", "tmp"]


def test_one_that_is_kept(home: Home, web: Web) -> None:
    """3.5: a whole checkout stays as the lost attempt left it, but for git's lock files; a half-made one never does."""
    url, commit = f"{web.url}/remote.git", home.upstream.head()
    nothing = run(home, url, commit, kept=True, resumes=True)
    assert nothing.code != 0 and json.loads(nothing.said)["reason"] == "NothingToResume"
    half = nothing.target.with_name(".making.shop.job.0")
    half.mkdir()
    made = run(home, url, commit, kept=True)
    assert made.code == 0 and not half.exists(), made.output
    (made.target / "draft").write_text("text")
    (made.target / ".git" / "index.lock").touch()
    web.token = "nobody needs the remote any more"
    for resumes in (False, True):
        again = run(home, url, commit, kept=True, resumes=resumes)
        assert (again.code, again.said) == (0, ""), again.output
    assert git(made.target, "status", "--porcelain=v1").stdout == "?? draft\n"
    git(made.target, "add", "draft")
