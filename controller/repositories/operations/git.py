"""How git is called: a closed environment, options that no repository can override, secrets only where they are needed.

    environment   no GIT_* from outside, no system or user configuration, no terminal, C locale, allowed protocols only
    options       no hooks, no credential helper, no gc, no submodules, no fsmonitor; a stalled transfer is given up
    password      by GIT_ASKPASS, which answers for the remote's own host only
    ssh           fixed options; key and known hosts are in memory of this process and read by /proc/<pid>/fd/<n>

Whatever git prints goes to our output with the secrets blotted out. Standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from controller.files.atomic import write_all
from controller.repositories.names import check_url, scheme
from controller.repositories.operations.failures import failure_of

SECRET_NAMES = (
    "HOLDFAST_GIT_USERNAME",
    "HOLDFAST_GIT_TOKEN",
    "HOLDFAST_GIT_SSH_KEY",
    "HOLDFAST_GIT_KNOWN_HOSTS",
)
NETWORK_NAMES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy", "GIT_SSL_CAINFO")
_ASKPASS = Path(__file__).with_name("askpass.sh")
_KEPT_STDERR = 65536
_MIN_SECRET = 4  # shorter ones would blot out ordinary text
_OPTIONS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.askPass": "",
    "core.filesRefLockTimeout": "5000",  # milliseconds that a push of a job may hold what we want
    "core.packedRefsTimeout": "10000",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "100",
    "fetch.fsckObjects": "false",
    "init.defaultBranch": "main",
    "advice.detachedHead": "false",
    "protocol.version": "2",
    "http.followRedirects": "initial",
    "push.default": "nothing",
    "push.followTags": "false",
}


@dataclass(frozen=True, slots=True)
class Secrets:
    """Credentials of the remote, by the name of their environment variable."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> Secrets:
        """Take them out of an environment, so that nothing inherits them by accident."""
        return cls({name: environment.pop(name) for name in (*SECRET_NAMES, *NETWORK_NAMES) if name in environment})

    def redact(self, text: str) -> str:
        """`text` without any line of any secret."""
        for name in SECRET_NAMES[1:3]:
            for line in self.values.get(name, "").splitlines():
                if len(line.strip()) >= _MIN_SECRET:
                    text = text.replace(line.strip(), "***")
        return text


@dataclass(frozen=True, slots=True)
class Git:
    """git in one directory; use `local` or `remote`."""

    directory: Path
    environment: Mapping[str, str]
    options: Mapping[str, str]
    secrets: Secrets = field(default_factory=Secrets)

    def run(self, *arguments: str, given: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run it to its end.

        Args:
            arguments: sub-command first.
            given: its stdin.
            env: on top of the environment.

        Returns:
            Its stdout.

        Raises:
            Failed: exit status other than 0; the reason is told from stderr.
        """
        status, output, errors = self.call(*arguments, given=given, env=env)
        if status != 0:
            room = os.statvfs(self.directory)
            raise failure_of(errors, arguments[0], room.f_bavail * room.f_frsize)
        return output

    def call(self, *arguments: str, given: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """As `run`: exit status, stdout and the end of stderr, whatever they are."""
        options = [word for name, value in self.options.items() for word in ("-c", f"{name}={value}")]
        with _memory(given.encode("utf-8", "surrogateescape")) as stdin, _memory(b"") as stdout:
            process = subprocess.Popen(
                ["git", "--no-pager", *options, *arguments],
                cwd=self.directory,
                env={**self.environment, **(env or {})},
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
            )
            errors = self._tell(process)
            status = process.wait()
            output = os.pread(stdout, os.fstat(stdout).st_size, 0)
        return status, output.decode("utf-8", "surrogateescape"), errors

    def with_options(self, options: Mapping[str, str]) -> Git:
        """The same with other values of some options."""
        return Git(self.directory, self.environment, {**self.options, **options}, self.secrets)

    def _tell(self, process: subprocess.Popen[bytes]) -> str:
        """Pass stderr on line by line, progress included, and keep its end."""
        assert process.stderr is not None
        kept, rest = "", b""
        with process.stderr as stream:
            while data := os.read(stream.fileno(), 65536):
                *lines, rest = re.split(rb"[\r\n]", rest + data)
                kept = self._pass_on(kept, lines)
        return self._pass_on(kept, [rest])

    def _pass_on(self, kept: str, lines: Sequence[bytes]) -> str:
        text = "".join(f"{self.secrets.redact(line.decode('utf-8', 'replace'))}\n" for line in lines if line.strip())
        sys.stderr.write(text)
        sys.stderr.flush()
        return (kept + text)[-_KEPT_STDERR:]


def local(directory: Path) -> Git:
    """git that can reach no remote at all."""
    return Git(directory, {**_environment(), "GIT_ALLOW_PROTOCOL": ""}, _OPTIONS)


def remote(directory: Path, url: str, schemes: Sequence[str], stall_seconds: int, secrets: Secrets) -> Git:
    """git that can reach exactly the remote at `url` with its credentials.

    Args:
        schemes: allowed ones of URLs.
        stall_seconds: less than 1 kB/s for this long ends an HTTP transfer, no answer for this long an ssh one.

    Raises:
        BadName: the URL is none that git may be told.
    """
    check_url(url, schemes)
    environment = _environment() | {name: secrets.values[name] for name in NETWORK_NAMES if name in secrets.values}
    environment["GIT_ALLOW_PROTOCOL"] = scheme(url)
    options = {**_OPTIONS, "http.lowSpeedLimit": "1000", "http.lowSpeedTime": str(stall_seconds)}
    if scheme(url) == "ssh":
        environment["GIT_SSH_COMMAND"] = ssh_command(secrets, stall_seconds)
        environment["GIT_SSH_VARIANT"] = "ssh"
    elif "HOLDFAST_GIT_TOKEN" in secrets.values:
        environment |= _askpass(url, secrets)
    return Git(directory, environment, options, secrets)


def ssh_command(secrets: Secrets, stall_seconds: int) -> str:
    """GIT_SSH_COMMAND: nothing is asked, nothing unknown is trusted, no configuration or agent of anybody is used.

    Key and known hosts are written to anonymous memory that lives as long as this process; ssh closes the descriptors
    that it inherits, so it is told the path below our /proc/<pid>.
    """
    known_hosts = _in_memory(secrets.values.get("HOLDFAST_GIT_KNOWN_HOSTS", ""))
    key = _in_memory(secrets.values.get("HOLDFAST_GIT_SSH_KEY", ""))
    return " ".join(
        (
            "ssh -F none -T",
            "-o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityAgent=none",
            "-o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o GSSAPIAuthentication=no",
            "-o UpdateHostKeys=no -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no",
            "-o ControlMaster=no -o ControlPath=none -o GlobalKnownHostsFile=/dev/null",
            f"-o ConnectTimeout={stall_seconds} -o ServerAliveInterval={max(1, stall_seconds // 4)}",
            f"-o ServerAliveCountMax=4 -o UserKnownHostsFile={known_hosts} -i {key}",
        )
    )


def _environment() -> dict[str, str]:
    """Of every call: the attempt's own, without anything that git would listen to."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_", "LC_"))}
    return {
        **inherited,
        "LANG": "C",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ADVICE": "0",
    }


def _askpass(url: str, secrets: Secrets) -> dict[str, str]:
    """The program has to be executable, which not every way of installing a package leaves it: a copy is."""
    program = Path(os.environ.get("TMPDIR", "/tmp")) / f"askpass.{os.getpid()}"
    program.write_bytes(_ASKPASS.read_bytes())
    program.chmod(0o700)
    atexit.register(program.unlink, missing_ok=True)
    place = urlsplit(url)
    return {
        "GIT_ASKPASS": str(program),
        "HOLDFAST_GIT_ASK_FOR": f"{place.scheme}://{place.netloc}",
        "HOLDFAST_GIT_USERNAME": secrets.values.get("HOLDFAST_GIT_USERNAME", "git"),
        "HOLDFAST_GIT_TOKEN": secrets.values["HOLDFAST_GIT_TOKEN"],
    }


@contextlib.contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """An anonymous file: stdin and stdout of any size without a pipe that has to be served."""
    fd = os.memfd_create("git", os.MFD_CLOEXEC)
    try:
        write_all(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _in_memory(text: str) -> str:
    """Path of an anonymous file with `text`, readable by our uid only, while this process lives."""
    fd = os.memfd_create("credential", os.MFD_CLOEXEC)
    os.fchmod(fd, 0o600)
    write_all(fd, text.replace("\r\n", "\n").rstrip("\n").encode() + b"\n" if text else b"")
    return f"/proc/{os.getpid()}/fd/{fd}"
