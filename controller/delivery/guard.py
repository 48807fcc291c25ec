"""Which URLs and addresses a callback may reach (requirement 6.4): the rules, apart from the connection.

Promises: only http and https; a host is a name or an address in its one usual form; ports as set; every address that a
name has is judged, and only one that was allowed is handed on to be connected to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from urllib.parse import urlsplit

import httpx

from controller.delivery.addresses import Address, Network, Sort, parse, plain, sort_of

ALLOW_CIDRS, ALLOW_HOSTS = "HOLDFAST_CALLBACK_ALLOW_CIDRS", "HOLDFAST_CALLBACK_ALLOW_HOSTS"
DEFAULT_PORTS = "80,443,8080,8443"
MAX_URL = 2048
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a host that ends in one is an address to inet_aton (WHATWG URL 3.5)
_RAW = re.compile(r"https?://[!-~]+")  # printable ASCII only: nothing that two parsers could read differently
_AUTHORITY = re.compile(r"https?://([^/?#\\]*)")


class Refused(Exception):
    """A callback must not go there. `reason` is CamelCase; the message names the way out."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked for, in parts.

    Args:
        host: ASCII name in lower case, or an address; no brackets.
        address: the host as an address, None for a name.
    """

    url: httpx.URL
    host: str
    port: int
    address: Address | None

    @property
    def origin(self) -> str:
        """What limits and results are counted by, and what people read."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules of one controller.

    Args:
        cidrs: networks that are allowed whatever they are.
        hosts: names whose addresses may be private, loopback or carrier-grade NAT; `*.example.org` means all below it.
        ports: ranges of allowed ports.
    """

    cidrs: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()
    ports: tuple[range, ...] = (range(80, 81), range(443, 444), range(8080, 8081), range(8443, 8444))

    @classmethod
    def of(cls, cidrs: str = "", hosts: str = "", ports: str = DEFAULT_PORTS) -> Guard:
        """From comma-separated texts, as the settings have them.

        Raises:
            ValueError: one of them cannot be read; the message says which part.
        """
        return cls(
            tuple(ip_network(each) for each in _parts(cidrs)),
            tuple(_pattern(each) for each in _parts(hosts)),
            tuple(_range(each) for each in _parts(ports)),
        )

    def target(self, text: str) -> Target:
        """`text` in parts, if a callback may ask for it.

        Raises:
            Refused: its form, its port or its address is not allowed.
        """
        if len(text) > MAX_URL or not _RAW.fullmatch(text):
            raise Refused("UrlRefused", f"not an http or https URL of at most {MAX_URL} plain ASCII characters")
        authority = _AUTHORITY.match(text)
        if authority is None or "@" in authority[1] or "%" in authority[1] or "\\" in text:
            raise Refused("UrlRefused", "a URL of a callback has no user, password, backslash or escaped host")
        try:
            url = httpx.URL(text)
            host = url.raw_host.decode("ascii").lower()
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Refused("UrlRefused", f"the URL cannot be read: {error}") from error
        address = parse(host)
        port = url.port if url.port is not None else 443 if url.scheme == "https" else 80
        target = Target(url, host, port, address)
        if address is None:
            self._check_name(host)
        if not any(target.port in each for each in self.ports):
            allowed = "HOLDFAST_CALLBACK_PORTS allows it where it is wanted"
            raise Refused("PortRefused", f"port {target.port} is not one for callbacks: {allowed}")
        if address is not None:
            self.addresses(host, [address])
        return target

    def _check_name(self, host: str) -> None:
        if len(host) > 253 or not _NAME.fullmatch(host.removesuffix(".")):
            raise Refused("UrlRefused", f"{host[:80]!r} is no name of a host")
        if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            raise Refused("UrlRefused", f"{host[:80]!r} is an address in a form that is not accepted: write it plainly")

    def addresses(self, host: str, found: Sequence[Address]) -> list[Address]:
        """Those of `found`, the addresses of `host`, that may be connected to.

        Raises:
            Refused: none may; the message tells the first one and why.
        """
        literal = parse(host) is not None
        allowed = [each for each in found if self._allows(host, each, *sort_of(each))]
        if allowed or not found:
            return allowed
        sort, word = sort_of(found[0])
        out = ALLOW_CIDRS + (f" or {ALLOW_HOSTS}" if sort is Sort.INNER and not literal else "")
        where = f"{host} is" if literal else f"{host} is at {found[0]}, which is"
        raise Refused("AddressRefused", f"{where} {word}: {out} allows it where it is wanted")

    def check_own(self, host: str, address: Address) -> None:
        """An address of this very machine is as good as loopback, whatever network it is in.

        Raises:
            Refused: neither `host` nor `address` is allowed.
        """
        if not self._allows(host, address, Sort.INNER, ""):
            text = f"{host} is at {address}, an address of this machine itself: {ALLOW_CIDRS} allows it"
            raise Refused("AddressRefused", f"{text} where it is wanted")

    def _allows(self, host: str, address: Address, sort: Sort, _: str) -> bool:
        inside = plain(address)
        if sort is Sort.PUBLIC or any(inside.version == each.version and inside in each for each in self.cidrs):
            return True
        return sort is Sort.INNER and self._names(host.removesuffix("."))

    def _names(self, host: str) -> bool:
        return any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in self.hosts)


def origin(url: str) -> str:
    """What a URL's host is counted by, whether or not it may be asked for."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return url[:255]
    return f"{(parts.hostname or '').removesuffix('.')}:{port}"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pattern(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not _NAME.fullmatch(name.removeprefix("*.")):
        raise ValueError(f"not a host name or *.domain: {text!r}")
    return name


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        ports = range(int(first), int(last or first) + 1)
    except ValueError:
        raise ValueError(f"not a port or a range of ports: {text!r}") from None
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError(f"not a port or a range of ports: {text!r}")
    return ports
