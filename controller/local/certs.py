"""Certificates and kubeconfigs of the local control plane.

`ensure` makes what is missing and renews what ends soon or no longer fits; what is still good is never touched, so that
running clients stay trusted. Keys are 0600. All of it lies below `Home.pki`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.files import atomic
from controller.local.home import Home

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_DAYS = 60
# Clocks step: a certificate made just now must hold for a client whose clock is behind.
BACKDATE = timedelta(days=1)
SERVING_NAMES: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.DNSName("kubernetes.default.svc"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
]


@dataclass(frozen=True, slots=True)
class Client:
    """A client certificate: `name` names its files, the others are what the API server takes as user and group."""

    name: str
    common_name: str
    organization: str | None = None


CLIENTS = (
    Client("admin", "admin", "system:masters"),
    Client("controller-manager", "system:kube-controller-manager"),
)


def ensure(
    home: Home, now: datetime | None = None, *, clients: Iterable[Client] = (), addresses: Iterable[str] = ()
) -> frozenset[str]:
    """Make or renew CA, serving certificate, client certificates and the key pair for service accounts.

    Args:
        now: the time to judge by, timezone-aware; None is the clock.
        clients: wanted beside CLIENTS.
        addresses: IP addresses for the serving certificate beside SERVING_NAMES; used when it is made.

    Returns:
        Names of the pairs that were written, empty where all was good.
    """
    now = now or datetime.now(UTC)
    written: set[str] = set()
    if not _good(home, "ca", None, now):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(home, "ca", _certificate(_name("holdfast"), key, None, now), key)
        written.add("ca")
    ca = x509.load_pem_x509_certificate(home.crt("ca").read_bytes())
    serving = [*SERVING_NAMES, *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]
    leaves: list[tuple[str, x509.Name, Sequence[x509.GeneralName]]] = [("serving", _name("kube-apiserver"), serving)]
    leaves += [(client.name, _name(client.common_name, client.organization), ()) for client in (*CLIENTS, *clients)]
    for name, subject, serves in leaves:
        if not _good(home, name, ca, now):
            key = ec.generate_private_key(ec.SECP256R1())
            _write(home, name, _certificate(subject, key, _issuer(home), now, serves), key)
            written.add(name)
    if not (home.key("service-accounts").exists() and home.crt("service-accounts").exists()):
        pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        atomic.write_atomic(home.key("service-accounts"), _pem(pair), 0o600)
        public = pair.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        atomic.write_atomic(home.crt("service-accounts"), public, 0o600)
        written.add("service-accounts")
    return frozenset(written)


def kubeconfig(home: Home, client: str, server: str) -> bytes:
    """A kubeconfig for the client certificate `client` at the URL `server`.

    It names files instead of holding their content: the official Python client writes embedded keys to temporary files,
    which stay in TMPDIR when its process is killed. `kubectl config view --raw --flatten` makes one to carry elsewhere.
    """
    user = {"client-certificate": str(home.crt(client)), "client-key": str(home.key(client))}
    cluster = {"server": server, "certificate-authority": str(home.crt("ca"))}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "holdfast", "cluster": cluster}],
        "users": [{"name": client, "user": user}],
        "contexts": [{"name": "holdfast", "context": {"cluster": "holdfast", "user": client, "namespace": "default"}}],
        "current-context": "holdfast",
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _good(home: Home, name: str, ca: x509.Certificate | None, now: datetime) -> bool:
    """Whether the pair can be read, belongs together, comes from `ca`, holds by our clock and does not end soon."""
    try:
        certificate = x509.load_pem_x509_certificate(home.crt(name).read_bytes())
        key = serialization.load_pem_private_key(home.key(name).read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return False
    if key.public_key() != certificate.public_key():  # killed between the two writes
        return False
    if ca is not None:
        try:
            certificate.verify_directly_issued_by(ca)
        except (InvalidSignature, TypeError, ValueError):  # made by a CA that was since renewed or removed
            return False
    if certificate.not_valid_before_utc > now:  # the clock ran ahead when it was made
        return False
    return certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)


def _issuer(home: Home) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(home.key("ca").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(home.crt("ca").read_bytes()), key


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    now: datetime,
    serves: Sequence[x509.GeneralName] = (),
) -> x509.Certificate:
    is_ca = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=CA_DAYS if is_ca else LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca), critical=True)
    )
    if not is_ca:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if serves:
        builder = builder.add_extension(x509.SubjectAlternativeName(serves), critical=False)
    return builder.sign(key if issuer is None else issuer[1], hashes.SHA256())


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not is_ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(home: Home, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    atomic.write_atomic(home.key(name), _pem(key), 0o600)
    atomic.write_atomic(home.crt(name), certificate.public_bytes(serialization.Encoding.PEM), 0o600)
