"""Finding and making the binaries: the order, the messages, interrupts, two at once. No real build here."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.errors import Terminal, Transient
from controller.local import binaries, download, gobuild
from controller.local.binaries import ETCD_VERSION, KUBERNETES_VERSION, NAMES, cache_directory, find_or_make
from tests.eventually import eventually_sync

FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi
for argument; do if [ "$last" = -o ]; then target=$argument; fi; last=$argument; done
echo "$last" >> {log}
{body}
printf '#!/bin/sh\\n' > "$target" && chmod +x "$target"
"""


def make_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make_assets(directory: Path, kubernetes: str = KUBERNETES_VERSION, etcd: str = ETCD_VERSION) -> None:
    for name in NAMES:
        version = f"etcd Version: {etcd}" if name == "etcd" else f"Kubernetes v{kubernetes}"
        make_program(directory / name, f"#!/bin/sh\necho '{version}'\n")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both download places refuse connections at once."""
    monkeypatch.setattr(download, "KUBERNETES_RELEASES", "http://127.0.0.1:1/release")
    monkeypatch.setattr(download, "ETCD_RELEASES", "http://127.0.0.1:1/etcd")


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> Path:
    """A `go` that notes the packages it was asked for and makes an executable."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'go'}:/usr/bin:/bin")
    log = tmp_path / "built"
    make_program(tmp_path / "go" / "go", FAKE_GO.format(version="1.99.0", log=log, body=""))
    return log


def test_kubebuilder_assets_come_first(tmp_path: Path) -> None:
    """Issue A 2: what the user names wins over PATH and cache."""
    make_assets(tmp_path / "assets")
    make_assets(tmp_path / "path")
    make_assets(cache_directory(tmp_path / "cache"))
    environ = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "PATH": str(tmp_path / "path")}
    found = find_or_make(tmp_path / "cache", print, environ)
    assert found.apiserver == tmp_path / "assets" / "kube-apiserver"


def test_the_path_counts_only_with_a_version_that_suits(tmp_path: Path) -> None:
    """Another minor version knows other flags; another patch version does not matter."""
    make_assets(tmp_path / "path", kubernetes="1.36.0", etcd="3.5.9")
    make_assets(cache_directory(tmp_path / "cache"))
    (cache_directory(tmp_path / "cache") / "kubectl").unlink()
    found = find_or_make(tmp_path / "cache", print, {"PATH": str(tmp_path / "path")})
    assert found.kubectl == tmp_path / "path" / "kubectl"
    assert found.etcd == cache_directory(tmp_path / "cache") / "etcd"


def test_no_way_works_lists_each_with_what_it_lacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    """Issue A 2: the message says which ways there are and what each lacked."""
    make_assets(tmp_path / "assets", kubernetes="1.30.1")
    make_program(tmp_path / "go" / "go", FAKE_GO.format(version="1.20.3", log="/dev/null", body=""))
    monkeypatch.setenv("PATH", f"{tmp_path / 'go'}:/usr/bin:/bin")
    environ = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "PATH": str(tmp_path / "empty")}
    with pytest.raises(Terminal) as error:
        find_or_make(tmp_path / "cache", print, environ)
    for part in (
        "KUBEBUILDER_ASSETS: kube-apiserver is 1.30.1, wanted 1.36.*",
        "PATH: no kube-apiserver",
        "lacks etcd, kube-apiserver",
        "official download: cannot reach 127.0.0.1 (Connection refused)",
        "Go build: ",
        "is go1.20, the pinned modules need go1.",
        "KUBEBUILDER_ASSETS",
    ):
        assert part in error.value.message


def test_go_builds_what_is_missing_once(tmp_path: Path, fake_go: Path) -> None:
    """Each under its final name only when complete; the second call builds nothing."""
    find_or_make(tmp_path / "cache", print, {})
    find_or_make(tmp_path / "cache", print, {})
    assert [line.rpartition("/")[2] for line in fake_go.read_text().split()] == [
        "v3",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
    ]
    assert sorted(path.name for path in cache_directory(tmp_path / "cache").iterdir()) == sorted([*NAMES, "lock"])


def test_a_failed_build_shows_what_go_said(tmp_path: Path, fake_go: Path) -> None:
    make_program(tmp_path / "go" / "go", FAKE_GO.format(version="1.99.0", log=fake_go, body="echo no memory; exit 2"))
    with pytest.raises(Terminal, match=r"Go build: etcd failed:\n +no memory"):
        find_or_make(tmp_path / "cache", print, {})


def run_binaries(tmp_path: Path) -> subprocess.Popen[str]:
    code = (
        "from controller.local import binaries, download; import sys;"
        "download.KUBERNETES_RELEASES = download.ETCD_RELEASES = 'http://127.0.0.1:1/x'; sys.exit(binaries.main())"
    )
    env = {**os.environ, "HOLDFAST_CACHE": str(tmp_path / "cache"), "PATH": f"{tmp_path / 'go'}:/usr/bin:/bin"}
    env.pop("KUBEBUILDER_ASSETS", None)
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_two_at_once_build_each_binary_once(tmp_path: Path, fake_go: Path) -> None:
    """Issue A 2: safe to run twice at once."""
    go_on = tmp_path / "go-on"
    make_program(
        tmp_path / "go" / "go",
        FAKE_GO.format(version="1.99.0", log=fake_go, body=f"until [ -e {go_on} ]; do sleep 0.05; done"),
    )
    first = run_binaries(tmp_path)
    eventually_sync(fake_go.exists, what="the first one builds")
    second = run_binaries(tmp_path)
    assert second.stderr is not None and any("waiting for it" in line for line in second.stderr)
    go_on.touch()
    both = [first, second]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(fake_go.read_text().split()) == len(NAMES)
    assert outputs[0][0] == outputs[1][0]


def test_an_interrupt_ends_the_build_and_the_next_run_goes_on(tmp_path: Path, fake_go: Path) -> None:
    """Issue A 2: safe to interrupt; no compiler runs on, nothing half-made is used."""
    body = f'[ -e {tmp_path / "go-on"} ] || {{ echo half > "$target"; echo $$ > {tmp_path / "pid"}; exec sleep 300; }}'
    make_program(tmp_path / "go" / "go", FAKE_GO.format(version="1.99.0", log=fake_go, body=body))
    process = run_binaries(tmp_path)
    pid = int(eventually_sync(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) or 0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run it again" in said
    eventually_sync(lambda: not Path(f"/proc/{pid}").exists())
    (tmp_path / "go-on").touch()
    again = run_binaries(tmp_path)
    assert again.communicate(timeout=60)[0].count("\n") == len(NAMES)
    assert not list(cache_directory(tmp_path / "cache").glob("*.tmp.*"))


@pytest.fixture
def release_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The layout of the official download places, on loopback; returns its root."""
    root = tmp_path / "releases"
    machine = download.ARCHITECTURES[os.uname().machine]
    kube = root / "release" / f"v{KUBERNETES_VERSION}" / "bin" / "linux" / machine
    kube.mkdir(parents=True)
    for name in NAMES[1:]:
        content = f"#!/bin/sh\necho {name}\n".encode()
        (kube / name).write_bytes(content)
        (kube / f"{name}.sha256").write_text(hashlib.sha256(content).hexdigest())
    archive = f"etcd-v{ETCD_VERSION}-linux-{machine}"
    etcd = root / "etcd" / f"v{ETCD_VERSION}"
    etcd.mkdir(parents=True)
    with tarfile.open(etcd / f"{archive}.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(f"{archive}/etcd")
        member.size = 10
        tar.addfile(member, io.BytesIO(b"#!/bin/sh\n"))
    digest = hashlib.sha256((etcd / f"{archive}.tar.gz").read_bytes()).hexdigest()
    (etcd / "SHA256SUMS").write_text(f"0000  other.tar.gz\n{digest}  {archive}.tar.gz\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(download, "KUBERNETES_RELEASES", f"{base}/release")
        monkeypatch.setattr(download, "ETCD_RELEASES", f"{base}/etcd")
        yield root
        server.shutdown()
        thread.join(60)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing to stderr."""


def test_official_downloads_are_checked_and_executable(tmp_path: Path, release_server: Path) -> None:
    found = find_or_make(tmp_path / "cache", print, {})
    assert found.kubectl.read_text() == "#!/bin/sh\necho kubectl\n"
    assert all(binaries.is_executable(path) for path in (found.etcd, found.apiserver, found.controller_manager))


def test_a_wrong_checksum_is_refused(tmp_path: Path, release_server: Path) -> None:
    next(release_server.rglob("kube-apiserver.sha256")).write_text("0" * 64)
    (tmp_path / "cache").mkdir()
    with pytest.raises(Transient, match="kube-apiserver does not match its published checksum"):
        download.fetch(NAMES, tmp_path / "cache", print)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["etcd"]


def test_a_missing_release_names_the_url(tmp_path: Path, release_server: Path) -> None:
    next(release_server.rglob("kubectl")).unlink()
    with pytest.raises(Transient, match=r"404.*kubectl"):
        download.fetch(["kubectl"], tmp_path, print)


def test_the_pinned_modules_are_found() -> None:
    """The build needs them in a checkout and in a wheel."""
    assert gobuild.assets.go_modules().joinpath("kube", "go.sum").is_file()
