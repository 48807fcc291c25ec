"""The state directory: private, and never on a network file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.errors import Terminal, Waiting
from controller.local import home as home_module
from controller.local.home import Home, PlaneLock, _covering, file_system

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv rw - nfs4 server:/export rw
31 30 0:41 / /srv/local rw - xfs /dev/vdb rw
32 22 0:42 / /mnt/with\\040space rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/home", "nfs4"),
        ("/srv/local/x", "xfs"),
        ("/srvx", "ext4"),
        ("/mnt/with space/x", "cifs"),
    ],
)
def test_the_deepest_mount_decides(path: str, kind: str) -> None:
    assert _covering(Path(path), "254:0", MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Design 6: a network file system as state directory is refused, before anything is made in it."""
    monkeypatch.setattr(home_module, "NETWORK_FILE_SYSTEMS", {file_system(tmp_path)})
    with pytest.raises(Terminal, match=r"network file system.*HOLDFAST_HOME"):
        Home.at(tmp_path / "home").prepare()
    assert not (tmp_path / "home").exists()


def test_directories_are_the_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    """Issue A 3: permissions of the state directory."""
    (tmp_path / "home").mkdir(mode=0o755)
    umask = os.umask(0)
    try:
        home = Home.at(tmp_path / "home")
        home.prepare()
    finally:
        os.umask(umask)
    made = [home.path, *(path for path in home.path.rglob("*") if path.is_dir())]
    assert len(made) == 5
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}


def test_a_path_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Requirement 8.3: the error names the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Terminal, match=f"HOLDFAST_HOME {tmp_path}/file/home"):
        Home.at(tmp_path / "file" / "home").prepare()


def test_one_up_per_home(tmp_path: Path) -> None:
    """Two `up` on one home never act at once."""
    home = Home.at(tmp_path)
    first, second = PlaneLock(home), PlaneLock(home)
    first.acquire()
    first.acquire()
    with pytest.raises(Waiting, match="another holdfast up"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
