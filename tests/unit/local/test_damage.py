"""What `up` does with damaged files of `components/` (requirement 7.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.errors import Terminal
from controller.executors.process import identity
from controller.files import quarantine
from controller.local import damage, records
from controller.local.home import Home
from controller.local.ports import Ports
from controller.local.records import Record, State


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home.at(tmp_path / "home")
    found.prepare()
    return found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"name": "etcd", "state": "Running"}',
        b'{"name": "etcd", "state": "Sleeping", "process": null}',
        b'{"name": "etcd", "state": "Running", "process": {"pid": -1}}',
        b'{"name": "etcd", "state": "Running", "process": null, "port": "many"}',
        b'{"name": "etcd", "state": "Running", "process": null, "restarts": -1}',
        b'{"name": "etcd", "state": "Running", "process": null, "later": 1}',
    ],
)
def test_a_damaged_record_goes_to_quarantine_with_its_reason(home: Home, content: bytes) -> None:
    """7.5: nothing is lost, a person is told, and the next start finds nothing to stumble over."""
    path = home.record("etcd")
    path.write_bytes(content)
    (told,) = damage.mend(home)
    assert str(path) in told and "quarantine" in told
    assert not path.exists()
    (aside,) = quarantine.entries(home.path)
    assert aside.path.read_bytes() == content
    assert str(path) in aside.reason
    assert damage.mend(home) == []


def test_a_directory_in_a_files_place_is_set_aside_too(home: Home) -> None:
    home.record("up").mkdir()
    home.ports.mkdir()
    assert len(damage.mend(home)) == 2
    assert Ports(home.ports).get("apiserver") > 0


@pytest.mark.parametrize("content", ["", "[]", '{"apiserver": "x"}', '{"apiserver": 70000}', '{"apiserver": true}'])
def test_damaged_ports_are_known_from_the_records(home: Home, content: str) -> None:
    """7.5: servers that run keep their ports, and kubeconfigs that were copied stay right."""
    records.write(home.record("apiserver"), Record("apiserver", State.RUNNING, identity.of_self(), port=20007))
    records.write(home.record("etcd"), Record("etcd", State.RUNNING, identity.of_self()))
    home.ports.write_text(content)
    assert len(damage.mend(home)) == 1
    assert json.loads(home.ports.read_bytes()) == {"apiserver": 20007}


def test_what_is_sound_stays(home: Home) -> None:
    records.write(home.record("etcd"), Record("etcd", State.RUNNING, identity.of_self(), 3, None, "abc"))
    home.ports.write_text('{"apiserver": 20001}')
    assert damage.mend(home) == []
    assert not [*quarantine.entries(home.path)]


def test_what_cannot_be_moved_is_told_with_the_way_out(home: Home) -> None:
    """8.3: the message names the path."""
    home.record("etcd").write_bytes(b"{")
    (home.path / quarantine.DIRECTORY).write_text("not a directory")
    with pytest.raises(Terminal, match=r"etcd\.json .*: remove it"):
        damage.mend(home)
