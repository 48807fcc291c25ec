"""Certificates of the local control plane: made once, private, renewed when they must be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from controller.local import certs
from controller.local.home import Home

ALL = {"ca", "serving", "admin", "controller-manager", "service-accounts"}


@pytest.fixture
def pki(tmp_path: Path) -> Home:
    made = Home.at(tmp_path)
    made.prepare()
    certs.ensure(made)
    return made


def test_first_time_makes_all_and_second_time_nothing(tmp_path: Path) -> None:
    """Issue A 3: clients that run stay trusted over a restart."""
    pki = Home.at(tmp_path)
    pki.prepare()
    assert certs.ensure(pki) == ALL
    assert certs.ensure(pki) == frozenset()


def test_files_are_the_owners_alone(pki: Home) -> None:
    """Issue A 3: certificates are 0600."""
    assert {path.stat().st_mode & 0o777 for path in pki.pki.iterdir()} == {0o600}


def test_valid_a_day_back_for_clocks_that_step(pki: Home) -> None:
    """A client whose clock is an hour behind trusts a new certificate."""
    now = datetime.now(UTC)
    for name in ALL - {"service-accounts"}:
        certificate = x509.load_pem_x509_certificate(pki.crt(name).read_bytes())
        assert certificate.not_valid_before_utc < now - timedelta(hours=23)


def test_near_their_end_leaves_are_renewed_and_the_ca_stays(pki: Home) -> None:
    """Issue A 3: nobody has to renew by hand."""
    soon = datetime.now(UTC) + timedelta(days=certs.LEAF_DAYS - certs.RENEW_DAYS + 1)
    assert certs.ensure(pki, soon) == {"serving", "admin", "controller-manager"}
    assert certs.ensure(pki, soon) == frozenset()


def test_what_was_made_while_the_clock_ran_ahead_is_replaced(tmp_path: Path) -> None:
    """Design 10: nobody could connect until that day; the CA is renewed too, and so is all that it signed."""
    pki, now = Home.at(tmp_path), datetime.now(UTC)
    pki.prepare()
    certs.ensure(pki, now + timedelta(days=200))
    assert certs.ensure(pki, now) == ALL - {"service-accounts"}
    assert certs.ensure(pki, now) == frozenset()


def test_a_new_ca_renews_what_it_signed(pki: Home) -> None:
    pki.crt("ca").unlink()
    assert certs.ensure(pki) == ALL - {"service-accounts"}


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_replaced(pki: Home, content: bytes) -> None:
    """Requirement 7.5: a damaged file never stops the rest."""
    pki.key("admin").write_bytes(content)
    assert certs.ensure(pki) == {"admin"}


def test_a_pair_torn_by_a_crash_is_replaced(pki: Home) -> None:
    """Killed between the two writes: key and certificate do not belong together."""
    pki.key("serving").write_bytes(pki.key("admin").read_bytes())
    assert certs.ensure(pki) == {"serving"}


def test_kubeconfig_names_the_files_of_its_client(pki: Home) -> None:
    """Requirement 3.7: a client that is killed leaves no copy of the key in TMPDIR, as it does of an embedded one."""
    config = yaml.safe_load(certs.kubeconfig(pki, "admin", "https://127.0.0.1:1"))
    user = config["users"][0]["user"]
    assert Path(user["client-key"]).read_bytes() == pki.key("admin").read_bytes()
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
