"""hack/hooks/fence at a git remote of one's own: an old token is refused there too (requirement 5.5, issue 7.2)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.repositories.homes import Upstream, git

FENCE = Path(__file__).resolve().parents[3] / "hack" / "hooks" / "fence"


@pytest.fixture
def remote(tmp_path: Path) -> Upstream:
    """One with a commit and the hook, installed as its first lines say."""
    made = Upstream.make(tmp_path)
    made.commit({"file": "1\n"})
    git(made.bare, "config", "receive.advertisePushOptions", "true")
    for name in ("pre-receive", "reference-transaction", "post-receive"):
        shutil.copy(FENCE, made.bare / "hooks" / name)
    return made


def push(remote: Upstream, token: str | None, branch: str = "main") -> subprocess.CompletedProcess[str]:
    git(remote.work, "commit", "-q", "--allow-empty", "-m", f"by {token}")
    option = () if token is None else ("-o", f"holdfast-token={token}")
    return git(remote.work, "push", "-q", *option, "origin", f"HEAD:{branch}", check=False)


def test_an_old_token_is_refused(remote: Upstream) -> None:
    """5.5: the highest one counts, on every branch; the same may push again."""
    assert push(remote, "9").returncode == 0
    assert push(remote, "9", "topic").returncode == 0
    assert push(remote, "10").returncode == 0
    taken = remote.head()
    refused = push(remote, "9")
    assert refused.returncode != 0 and "lock token 9 is over: one with token 10 has pushed since" in refused.stderr
    assert git(remote.bare, "rev-parse", "main").stdout.strip() == taken
    assert [path.name for path in remote.bare.glob("holdfast-*")] != []
    assert not list(remote.bare.glob("holdfast-push.*"))


@pytest.mark.parametrize("token", [None, "", "x", "-1", "1; touch evil", "0", "9" * 30])
def test_what_is_no_token_is_refused(remote: Upstream, token: str | None) -> None:
    """Issue 7, "Bad input"."""
    refused = push(remote, token)
    assert refused.returncode != 0 and "carries no lock token" in refused.stderr
    assert not (remote.bare / "holdfast-token").exists()


def test_a_push_that_is_overtaken_changes_nothing(remote: Upstream) -> None:
    """5.5: asked again while the refs are locked, by the process that receives it; what is no push passes."""
    assert push(remote, "5").returncode == 0
    hook = str(remote.bare / "hooks" / "reference-transaction")
    ask = 'echo 4 >"holdfast-push.$$"; "$0" prepared </dev/null; code=$?; rm "holdfast-push.$$"; exit $code'
    argv = ["sh", "-c", ask, hook]
    late = subprocess.run(argv, check=False, cwd=remote.bare, capture_output=True, text=True, timeout=60)
    assert late.returncode == 1 and "lock token 4 is over" in late.stderr
    git(remote.bare, "update-ref", "refs/heads/by-hand", "main")
