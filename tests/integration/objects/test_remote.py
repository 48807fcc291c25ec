"""Files in a real object store (requirements 7.10, 4.2): whole or absent, every call with an end, clear errors."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.errors import HoldfastError, Terminal, Transient
from controller.files import remote as module
from controller.files.remote import Remote
from controller.files.remote_calls import cancel_calls
from controller.recovery.archive import places
from tests.eventually import eventually_sync
from tests.object_store import SECRET, ObjectStore, find_program

LARGE = 40 * 1024**2  # in parts


@pytest.fixture(autouse=True)
def credentials(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    forget_clients()


def forget_clients() -> None:
    """The environment is read when a client is made."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.write_bytes(b"small" * 100)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1024**2) * (LARGE // 1024**2))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_there_and_back(object_store: ObjectStore, small: Path, large: Path, tmp_path: Path) -> None:
    """7.10, 4.2: in one piece or in parts; listed, read from an offset, removed, and nothing else is there."""
    bucket = object_store.bucket()
    for source in (small, large):
        file = Remote(f"s3://{bucket}/dir/{source.name}")
        assert file.size() is None and file.sha256() is None
        for _ in range(2):
            file.put(source)
        file.put_checked(source, sha256(source))
        assert (file.size(), file.sha256()) == (source.stat().st_size, sha256(source))
        file.get(tmp_path / "back")
        assert sha256(tmp_path / "back") == sha256(source)
        with (tmp_path / "rest").open("wb") as rest:
            file.read_from(100, rest)
        assert (tmp_path / "rest").read_bytes() == source.read_bytes()[100:]
    assert sorted(Remote(f"s3://{bucket}/dir").names()) == ["large", "small"]
    assert sorted(object_store.objects(bucket)) == ["dir/large", "dir/small"] and not object_store.uploads(bucket)
    for _ in range(2):
        Remote(f"s3://{bucket}/dir/small").remove()
        Remote(f"s3://{bucket}/dir").remove_tree()
    assert Remote(f"s3://{bucket}/dir").names() == [] and not object_store.objects(bucket)


def test_what_arrives_damaged_never_gets_the_name(object_store: ObjectStore, small: Path) -> None:
    """7.10: compared before the final name is given."""
    bucket = object_store.bucket()
    with pytest.raises(Transient, match="not what was sent"):
        Remote(f"s3://{bucket}/a").put_checked(small, "0" * 64)
    assert object_store.objects(bucket) == {}


UPLOAD = """
import asyncio, sys
from pathlib import Path
from s3fs import S3FileSystem
from controller.files.remote import Remote

call = S3FileSystem._call_s3

async def never_complete(self, method, *args, **kwargs):
    if method == "complete_multipart_upload":
        await asyncio.sleep(600)
    return await call(self, method, *args, **kwargs)

S3FileSystem._call_s3 = never_complete
Remote(sys.argv[1]).put(Path(sys.argv[2]))
"""


def test_what_a_killed_process_left_goes_with_the_next_try(object_store: ObjectStore, large: Path) -> None:
    """7.6, 7.10: an upload in parts is seen by nobody and paid for; one of another name is left alone."""
    bucket = object_store.bucket()

    def killed(key: str) -> None:
        before = len(object_store.uploads(bucket))
        argv = [sys.executable, "-c", UPLOAD, f"s3://{bucket}/{key}", str(large)]
        with subprocess.Popen(argv, env={**os.environ}) as child:
            try:
                eventually_sync(lambda: len(object_store.uploads(bucket)) > before)
            finally:
                child.send_signal(signal.SIGKILL)
        assert len(object_store.uploads(bucket)) == before + 1 and not object_store.objects(bucket)

    killed("a")
    killed("ab")
    Remote(f"s3://{bucket}/a").put(large)
    assert list(object_store.objects(bucket)) == ["a"] and len(object_store.uploads(bucket)) == 1
    Remote(f"s3://{bucket}/ab").put_checked(large, sha256(large))
    assert sorted(object_store.objects(bucket)) == ["a", "ab"] and not object_store.uploads(bucket)


def test_a_temporary_one_of_a_killed_process_goes_too(object_store: ObjectStore, small: Path) -> None:
    """7.6, 7.10: that of this name."""
    bucket = object_store.bucket()
    for name in ("a.tmp.0123456789abcdef", "ab.tmp.0123456789abcdef", "a.other"):
        Remote(f"s3://{bucket}/dir/{name}").put(small)
    Remote(f"s3://{bucket}/dir/a").put_checked(small, sha256(small))
    assert sorted(object_store.objects(bucket)) == ["dir/a", "dir/a.other", "dir/ab.tmp.0123456789abcdef"]


def calls(bucket: str, source: Path, tmp_path: Path) -> dict[str, Callable[[], object]]:
    file = Remote(f"s3://{bucket}/dir/a")
    return {
        "size": file.size,
        "put": lambda: file.put(source),
        "put_checked": lambda: file.put_checked(source, sha256(source)),
        "get": lambda: file.get(tmp_path / "got"),
        "remove": file.remove,
        "names": Remote(f"s3://{bucket}/dir").names,
        "remove_tree": Remote(f"s3://{bucket}/dir").remove_tree,
    }


def test_a_bucket_that_is_missing_is_not_made(object_store: ObjectStore, small: Path, tmp_path: Path) -> None:
    """7.10: and nothing is taken for removed or empty."""
    for name, call in calls("no-such-bucket", small, tmp_path).items():
        with pytest.raises(Transient, match="the bucket is not there") as error:
            call()
        assert error.value.reason == "NoBucket", name
    assert not (object_store.buckets / "no-such-bucket").exists()


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_said_and_heal(
    object_store: ObjectStore, small: Path, tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7.10: without a restart; the message says where to mend them and has none of them in it."""
    bucket = object_store.bucket()
    right = os.environ[wrong]
    monkeypatch.setenv(wrong, "wrong-value")
    forget_clients()
    for name, call in calls(bucket, small, tmp_path).items():
        with pytest.raises(Transient, match="AWS_ACCESS_KEY_ID") as error:
            call()
        assert error.value.reason == "AccessRefused", (name, error.value)
        assert SECRET not in str(error.value) and "wrong-value" not in str(error.value)
    monkeypatch.setenv(wrong, right)
    Remote(f"s3://{bucket}/dir/a").put(small)


def test_no_credentials(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """7.10: which ones are missing is said."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Transient, match="set AWS_ACCESS_KEY_ID") as error:
        Remote(f"s3://{object_store.bucket()}/a").size()
    assert error.value.reason == "NoCredentials"


def test_a_server_that_is_away(object_store: ObjectStore, small: Path) -> None:
    """7.10: said, and over when it is back."""
    bucket = object_store.bucket()
    object_store.stop()
    with pytest.raises(Transient) as error:
        Remote(f"s3://{bucket}/a").put(small)
    assert error.value.reason == "Unreachable" and bucket in error.value.message
    object_store.start()
    Remote(f"s3://{bucket}/a").put(small)


def test_a_server_that_says_nothing(object_store: ObjectStore) -> None:
    """7.10: every call ends; and at once where the process stops."""
    file = Remote(f"s3://{object_store.bucket()}/a")
    assert file.size() is None
    object_store.freeze()
    began = time.monotonic()
    with pytest.raises(Transient) as error:
        file._call("info", file._path, seconds=2.0)
    assert error.value.reason == "Unreachable" and time.monotonic() - began < module.CALL_SECONDS
    said: list[HoldfastError] = []

    def wait() -> None:
        try:
            file.size()
        except HoldfastError as stopped:
            said.append(stopped)

    thread = threading.Thread(target=wait)
    thread.start()

    def ended() -> bool:
        cancel_calls()
        return not thread.is_alive()

    eventually_sync(ended, what="the call is over")
    assert [each.reason for each in said] == ["Stopping"], "ended by its own limit"


def test_over_tls(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """7.10: with a CA of one's own, and not without it."""
    certificate, key = self_signed(tmp_path)
    (tmp_path / "server").mkdir()
    store = ObjectStore(find_program(), tmp_path / "server", tls=(certificate, key))
    store.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        forget_clients()
        file = Remote(f"s3://{store.bucket()}/a")
        with pytest.raises(Transient, match="certificate") as error:
            file.put(small)
        assert error.value.reason == "Unreachable"
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        forget_clients()
        file = Remote(file.address)
        file.put(small)
        assert file.sha256() == sha256(small)
    finally:
        store.stop()
        forget_clients()


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "object store")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    paths = directory / "tls.crt", directory / "tls.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return paths


def test_a_damaged_object_is_found(object_store: ObjectStore, small: Path) -> None:
    """7.10: by the checksum that is stored with it; an archive has its own besides."""
    bucket = object_store.bucket()
    file = Remote(f"s3://{bucket}/a")
    file.put_checked(small, sha256(small))
    path = object_store.objects(bucket)["a"]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(Transient, match="what was read is not what was stored"):
        file.sha256()


@pytest.mark.parametrize("address", ["s3://key:secret@bucket/a", "s3://key@bucket/a", "simplecache::s3://bucket/a"])
def test_bad_addresses(address: str, tmp_path: Path) -> None:
    """7.10, 6.4: refused, and the password is not repeated."""
    with pytest.raises(Terminal) as error:
        places.fetch(address, tmp_path)
    assert error.value.reason == "BadAddress" and "secret" not in error.value.message


def test_a_name_that_no_bucket_can_have(small: Path) -> None:
    """7.10: trying again cannot help."""
    with pytest.raises(Terminal, match="Invalid bucket name"):
        Remote("s3://Not_A_Bucket!/a").put(small)


def test_nothing_is_imported_before_an_address_asks_for_it() -> None:
    """10.3: the controller's start and memory do not know of it."""
    script = (
        "import sys, controller.app.lifecycle, controller.app.process; from controller.files.remote import Remote;"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'s3fs', 'botocore', 'aiobotocore', 'fsspec'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
