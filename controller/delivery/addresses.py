"""Which IP addresses a callback may reach (requirement 6.4). Pure tables and their reading.

Promises: what is not globally reachable unicast is refused, by the IANA special-purpose registries (RFC 6890, 8190);
an address that carries an IPv4 address inside (mapped, NAT64) is judged by that one; transition forms whose inside
cannot be told for sure are refused whole.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Sort(StrEnum):
    """PUBLIC may be reached by anybody; INNER where its host or network is allowed; OUTLAWED by network only."""

    PUBLIC = "public"
    INNER = "inner"
    OUTLAWED = "outlawed"


_INNER = {
    "10.0.0.0/8": "private",
    "172.16.0.0/12": "private",
    "192.168.0.0/16": "private",
    "127.0.0.0/8": "loopback",
    "100.64.0.0/10": "carrier-grade NAT",
    "::1/128": "loopback",
    "fc00::/7": "private",
    "fec0::/10": "site-local",
}
_OUTLAWED = {
    # Metadata services of clouds, some of them at addresses that look public or are inside of what may be allowed.
    "169.254.169.254/32": "metadata",
    "100.100.100.200/32": "metadata",
    "168.63.129.16/32": "metadata",
    "192.0.0.192/32": "metadata",
    "fd00:ec2::/32": "metadata",
    "fd20:ce::/64": "metadata",
    "0.0.0.0/8": "unspecified",
    "169.254.0.0/16": "link-local",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "reserved",
    "192.52.193.0/24": "reserved",
    "192.88.99.0/24": "6to4 relay",
    "192.175.48.0/24": "reserved",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/128": "unspecified",
    "::/96": "IPv4-compatible",
    "::ffff:0:0:0/96": "IPv4-translated",
    "64:ff9b:1::/48": "local NAT64",
    "100::/64": "discard",
    "2001::/23": "reserved",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
    "fe80::/10": "link-local",
    "ff00::/8": "multicast",
}
_UNICAST = IPv6Network("2000::/3")  # all else is not assigned to anybody
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_ISATAP = (0x00005EFE, 0x02005EFE)  # upper half of an interface identifier that ends in an IPv4 address (RFC 5214)


# The most exact network that contains an address decides.
_BY_LENGTH = tuple(
    sorted(
        (
            (ip_network(text), word, sort)
            for sort, table in ((Sort.OUTLAWED, _OUTLAWED), (Sort.INNER, _INNER))
            for text, word in table.items()
        ),
        key=lambda each: -each[0].prefixlen,
    )
)


def plain(address: Address) -> Address:
    """The IPv4 address inside a mapped or NAT64 one, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def sort_of(address: Address) -> tuple[Sort, str]:
    """What `address` is, and the word for it."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return Sort.OUTLAWED, "with a zone"
    inside = plain(address)
    for network, word, sort in _BY_LENGTH:
        if inside.version == network.version and inside in network:
            return sort, word
    if isinstance(inside, IPv6Address) and (inside not in _UNICAST or (int(inside) >> 32) & 0xFFFFFFFF in _ISATAP):
        return Sort.OUTLAWED, "a tunnel or not assigned"
    return Sort.PUBLIC, "public"


def parse(text: str) -> Address | None:
    """`text` as an address in its one usual form; None where it is a name (or nothing).

    Decimal, octal, hexadecimal and shortened forms are no addresses here; `guard` refuses them as names.
    """
    try:
        return ip_address(text)
    except ValueError:
        return None
