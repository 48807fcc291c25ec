"""Remotes over the network: credentials, strangers, silence; and where a secret never shows up (issue 4, bad input)."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.errors import Waiting
from controller.executors.base import AttemptId, LaunchSpec, Limits
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.observe import processes_left
from controller.executors.process.rundir import RunDir
from controller.repositories import requests
from controller.repositories.credentials import secret_environment
from controller.repositories.operations.stale import processes_in
from controller.repositories.requests import Remote
from controller.repositories.results import Reason
from tests.eventually import eventually, eventually_sync
from tests.integration.repositories.homes import Home, failed_as, git
from tests.integration.repositories.servers import Sshd, Web, serve, sshd

TOKEN = "tok-3n-of-the-secret"


@pytest.fixture
def web(home: Home) -> Iterator[Web]:
    """The remote over HTTP; it wants the token."""
    git(home.upstream.bare, "config", "http.receivepack", "true")
    with serve(Web(home.upstream.bare.parent, token=TOKEN)) as running:
        yield running


def over_http(home: Home, web: Web, token: str = TOKEN, **changes: object) -> Remote:
    """The remote with credentials."""
    url = f"{web.url}/remote.git"
    secrets = secret_environment(url, "shop-git", {"token": token.encode()}) if token else {}
    return Remote(url, ("http",), secrets, **changes)  # type: ignore[arg-type]


def everything_under(directory: Path) -> bytes:
    """All files."""
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def test_with_the_token(home: Home, web: Web) -> None:
    """Issue 4: clone, fetch and push upstream with a token that is in no file and in no output afterwards."""
    home.remote = over_http(home, web)
    home.clone()
    seen = home.output
    home.upstream.commit({"new": "1\n"})
    commit = home.fetch().commit
    home.grant(1)
    workspace = home.workspace()
    pushed = home.job_commit(workspace, "job")
    home.push(workspace, "main")
    assert home.perform(requests.publish, home.remote, "main", pushed).succeeded
    assert git(home.upstream.bare, "rev-parse", "main").stdout.strip() == pushed != commit
    assert set(web.passwords) == {"", TOKEN}
    assert TOKEN not in seen + home.output
    assert TOKEN.encode() not in everything_under(home.places.home)
    assert not list(home.scratch.iterdir())


@pytest.mark.parametrize("token", ["", "wrong-token"])
def test_without_the_right_token(home: Home, web: Web, token: str) -> None:
    """Issue 4: a remote that asks for a password, or does not take the token: nobody is asked, nothing hangs."""
    result = home.perform(requests.clone, over_http(home, web, token), "main")
    failed_as(result, Reason.AUTHENTICATION_FAILED, "credentialsRef")
    assert "wrong-token" not in result.message + home.output
    assert not home.mirror.exists() and home.half_made() == []


def test_a_redirect_to_a_stranger(home: Home, web: Web) -> None:
    """Issue 4: the token goes to the remote's own host only."""
    with serve(Web(home.upstream.bare.parent, token="other", redirect="")) as stranger:
        web.redirect = stranger.url
        result = home.perform(requests.clone, over_http(home, web), "main")
        failed_as(result, Reason.AUTHENTICATION_FAILED)
        assert TOKEN not in stranger.passwords


def test_a_remote_that_is_not_there(home: Home, web: Web) -> None:
    """Issue 4: no such repository, nobody listens, no such host."""
    remote = dataclasses.replace(over_http(home, web), url=f"{web.url}/absent.git")
    failed_as(home.perform(requests.clone, remote, "main"), Reason.REPOSITORY_NOT_FOUND)
    for url in ("http://127.0.0.1:9/x.git", "http://no-such-host.invalid/x.git"):
        failed_as(home.perform(requests.clone, Remote(url, ("http",)), "main"), Reason.REMOTE_UNREACHABLE)


def test_a_remote_that_hangs(home: Home, web: Web) -> None:
    """Issue 4: given up after the stall time, with a reason."""
    web.hang = True
    began = time.monotonic()
    failed_as(home.perform(requests.clone, over_http(home, web, stall_seconds=2), "main"), Reason.REMOTE_UNREACHABLE)
    assert time.monotonic() - began < 50  # the server itself would end it after 60 s


def test_a_remote_that_drips(home: Home, web: Web) -> None:
    """Issue 4: a byte now and then is no transfer."""
    web.token, web.drip = "", 0.2
    failed_as(home.perform(requests.clone, over_http(home, web, stall_seconds=2), "main"), Reason.REMOTE_UNREACHABLE)
    assert home.half_made() == []


def test_what_is_no_git_server(home: Home, tmp_path: Path) -> None:
    """Issue 4: a web page in the place of a repository."""
    (tmp_path / "site").mkdir()
    with serve(Web(tmp_path / "site")) as page:
        result = home.perform(requests.clone, Remote(f"{page.url}/x", ("http",)), "main")
        failed_as(result, Reason.REPOSITORY_NOT_FOUND)


async def test_the_deadline_of_an_executor(home: Home, web: Web) -> None:
    """Issue 4: the executor ends what hangs, all of it; while it runs the token is in no command line and no file."""
    web.hang = True
    target = home.target()
    request = requests.clone(target, over_http(home, web), "main")
    executor = ProcessExecutor(home.places.operations, "state-1", 5.0)
    attempt = AttemptId.parse(target.operation)
    # Until then it has to be looked at while it hangs.
    limits = Limits(deadline_seconds=20, grace_seconds=1, output_bytes=request.output_bytes)
    spec = LaunchSpec(
        attempt,
        "default",
        "shop",
        request.argv,
        secret_env=request.secret_env,
        limits=limits,
        annotations=request.annotations,
    )
    await executor.launch(spec)
    run = RunDir.of(str(home.places.operations), target.operation)
    process = run.read_process()
    assert process is not None

    def command_lines() -> bytes:
        """Of all processes, once git asks the remote."""
        lines = b"".join(_command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return lines if len(processes_left(run, process)) >= 2 and b"ls-remote" in lines else b""

    assert TOKEN.encode() not in await eventually(command_lines, what="git at work")
    assert TOKEN.encode() not in everything_under(home.places.home)

    async def over() -> bool:
        seen = await executor.observe(attempt)
        return seen.exit is not None and not seen.processes_left

    await eventually(over, timeout=90, what="the end")
    executor.close()
    assert requests.outcome(home.places, target.operation, 143) is None
    web.hang = False
    home.remote = over_http(home, web)
    home.clone()
    assert home.half_made() == []


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Sshd]:
    """A real ssh server."""
    with sshd(tmp_path / "sshd") as running:
        yield running


def over_ssh(home: Home, server: Sshd, key: str, known_hosts: str) -> Remote:
    """The remote with credentials."""
    url = server.url(home.upstream.bare)
    data = {"sshKey": key.encode(), "knownHosts": known_hosts.encode()}
    return Remote(url, ("ssh",), secret_environment(url, "shop-git", data))


def test_ssh(home: Home, ssh: Sshd) -> None:
    """Issue 4: key and known hosts are never on disk; changed and unknown host keys and other keys are told apart."""
    wrong_host = home.perform(requests.clone, over_ssh(home, ssh, ssh.key, ssh.other_host), "main")
    failed_as(wrong_host, Reason.HOST_KEY_CHANGED, "knownHosts")
    stranger = home.perform(requests.clone, over_ssh(home, ssh, ssh.key, "example.com ssh-ed25519 AAAA\n"), "main")
    failed_as(stranger, Reason.HOST_KEY_CHANGED)
    wrong_key = home.perform(requests.clone, over_ssh(home, ssh, ssh.other_key, ssh.known_hosts), "main")
    failed_as(wrong_key, Reason.AUTHENTICATION_FAILED, "credentialsRef")
    garbage = home.perform(requests.clone, over_ssh(home, ssh, "no key", ssh.known_hosts), "main")
    failed_as(garbage, Reason.AUTHENTICATION_FAILED)
    home.remote = over_ssh(home, ssh, ssh.key.replace("\n", "\r\n"), ssh.known_hosts)
    home.clone()
    pushed = home.job_commit(home.workspace(), "job")
    home.grant(1)
    home.push(home.places.workspace("job.1"), "main")
    assert home.perform(requests.publish, home.remote, "main", pushed).succeeded
    secret = ssh.key.splitlines()[2].encode()
    assert secret not in everything_under(home.places.home) and secret.decode() not in home.output


def test_ssh_that_hangs(home: Home, ssh: Sshd) -> None:
    """Issue 4: somebody accepts the connection and says nothing."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = dataclasses.replace(ssh, port=silent.getsockname()[1])
        remote = dataclasses.replace(over_ssh(home, server, ssh.key, ssh.known_hosts), stall_seconds=2)
        failed_as(home.perform(requests.clone, remote, "main"), Reason.REMOTE_UNREACHABLE)


@pytest.mark.parametrize(
    ("url", "data", "word"),
    [
        ("https://example.com/x", {}, "token"),
        ("https://example.com/x", {"token": b""}, "token"),
        ("https://example.com/x", {"token": b"a\nb"}, "token"),
        ("https://example.com/x", {"token": b"a", "username": b"\xff"}, "username"),
        ("ssh://git@example.com/x", {"knownHosts": b"x"}, "sshKey"),
        ("git@example.com:x", {"sshKey": b"x"}, "knownHosts"),
        ("git@example.com:x", {"sshKey": b"\0", "knownHosts": b"x"}, "sshKey"),
    ],
)
def test_a_secret_that_lacks_something(url: str, data: dict[str, bytes], word: str) -> None:
    """Issue 4: the message names Secret and key, never a value."""
    with pytest.raises(Waiting, match=f"Secret shop-git.*{word}"):
        secret_environment(url, "shop-git", data)


def test_what_a_secret_becomes() -> None:
    """Issue 4: keys for other schemes are left out; a newline at the end of a file is no part of a token."""
    data = {"token": b"abc\n", "sshKey": b"KEY", "knownHosts": b"HOST", "other": b"x"}
    assert secret_environment("https://h/x", "s", data) == {"HOLDFAST_GIT_TOKEN": "abc", "HOLDFAST_GIT_USERNAME": "git"}
    ssh = secret_environment("git@h:x", "s", data)
    assert ssh == {"HOLDFAST_GIT_SSH_KEY": "KEY", "HOLDFAST_GIT_KNOWN_HOSTS": "HOST"}
    assert secret_environment("file:///x", "s", data) == {}


def test_a_secret_that_the_remote_repeats(home: Home, web: Web) -> None:
    """3.7: what a server says is blotted out where it holds the token."""
    home.remote = over_http(home, web)
    home.clone()
    hook = home.upstream.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho 'your token {TOKEN} may not push' >&2\nexit 1\n")
    hook.chmod(0o755)
    result = home.perform(requests.publish, home.remote, "new", home.upstream.head())
    failed_as(result, Reason.REMOTE_REJECTED)
    assert "your token *** may not push" in home.output and TOKEN not in home.output + result.message


def test_end_of_a_process_group(home: Home, web: Web) -> None:
    """Issue 4: TERM to the group ends an operation at once; the next one starts clean."""
    web.hang = True
    process = home.start(requests.clone(home.target(), over_http(home, web), "main"))
    eventually_sync(home.half_made, what="the clone is under way")
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert home.half_made() == [".making.mirror.repo-uid.1"]
    web.hang = False
    home.remote = over_http(home, web)
    home.clone()
    assert home.half_made() == []


def test_a_slow_remote_holds_up_nobody(home: Home, web: Web) -> None:
    """5.2: while a fetch hangs, workspaces are made and jobs push."""
    home.remote = over_http(home, web)
    home.clone()
    home.grant(1)
    web.hang = True
    process = home.start(requests.fetch(home.target(), home.remote, "main"))
    try:
        eventually_sync(lambda: processes_in(home.mirror), what="git at work")
        workspace = home.workspace()
        home.job_commit(workspace, "job")
        assert home.push(workspace, "main").returncode == 0
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


@pytest.fixture
def pushed(home: Home, web: Web) -> str:
    """A job's commit on main in the mirror of a remote over HTTP."""
    assert home.perform(requests.clone, over_http(home, web), "main").succeeded
    home.grant(1)
    workspace = home.workspace()
    commit = home.job_commit(workspace, "job")
    assert home.push(workspace, "main").returncode == 0
    return commit


def test_a_publication_outlasts_an_outage(home: Home, web: Web, pushed: str) -> None:
    """Issue 4: it is retried; the command that made the commit must not run again because its remote was away."""
    web.hang = True
    target = home.target()
    process = home.start(requests.publish(target, over_http(home, web, stall_seconds=2), "main", pushed))
    assert process.stdout is not None
    assert any("again in" in line for line in process.stdout), "it ended at the first try"
    web.hang = False
    process.communicate(timeout=60)
    result = requests.outcome(home.places, target.operation, process.returncode)
    assert result is not None and result.succeeded, result
    assert git(home.upstream.bare, "rev-parse", "main").stdout.strip() == pushed


def test_a_publication_gives_up_before_its_deadline(home: Home, web: Web, pushed: str) -> None:
    """Issue 4: so that it can say why."""
    web.hang = True
    target = dataclasses.replace(home.target(), deadline_seconds=5)
    process = home.start(requests.publish(target, over_http(home, web, stall_seconds=2), "main", pushed))
    process.communicate(timeout=60)
    failed_as(requests.outcome(home.places, target.operation, process.returncode), Reason.REMOTE_UNREACHABLE)
