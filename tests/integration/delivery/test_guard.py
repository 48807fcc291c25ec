"""No callback reaches what it must not: every form of address against real sockets, and names that lie (6.4)."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from controller.decisions.answer import Meaning
from controller.delivery.guard import Guard, Refused
from tests.integration.delivery.forms import ANSWERS, FORMS
from tests.integration.delivery.names import A, name_server
from tests.integration.delivery.receivers import listening, message, sender
from tests.needs import need, need_root


def _always(found: list[str], name: str, before: int) -> list[str]:
    return found


NOT_SENT = ("AddressRefused", "UrlRefused", "NameNotFound")  # some machines do not know `localhost.`
ANY_PORT = Guard.of("", "", "1-65535")
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def test_the_table_is_long_enough() -> None:
    """6.4: at least 80 forms, none twice."""
    assert len(set(FORMS)) == len(FORMS) >= 80


async def test_no_form_reaches_this_machine() -> None:
    """6.4: each form is tried against a listening socket, by http and https; nobody connects, nothing is counted."""
    async with listening() as v4, listening(host="::1") as v6, sender(ANY_PORT) as sending:
        for form in FORMS:
            for scheme in ("http", "https"):
                for port in (v4.port, v6.port):
                    answer = await sending.send(message(f"{scheme}://{form}:{port}/hook"))
                    assert answer.reason in NOT_SENT, (form, answer)
        assert v4.connections == v6.connections == 0


def test_no_form_reaches_any_address() -> None:
    """6.4: in a network in which every address is this machine nothing arrives; without the guard it does."""
    need_root()
    need("ip")
    command = [need("unshare"), "--net", sys.executable, "-m", "tests.integration.delivery.all_addresses"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["guarded"] == []
    assert told["reachable"] >= 60, "the sockets that must not be reached are there to be reached"
    assert told["own"] == "AddressRefused", "an address of the machine itself, although it is a public one"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/", "UrlRefused"),
        ("file:///etc/passwd", "UrlRefused"),
        ("gopher://example.org/", "UrlRefused"),
        ("javascript:alert(1)", "UrlRefused"),
        ("//example.org/", "UrlRefused"),
        ("example.org", "UrlRefused"),
        ("", "UrlRefused"),
        ("http:/example.org", "UrlRefused"),
        ("http:///example.org", "UrlRefused"),
        ("http://example.org\r\nX: y/", "UrlRefused"),
        ("http://example.org/\r\n\r\nGET /", "UrlRefused"),
        ("http://exa mple.org/", "UrlRefused"),
        ("http://" + "a" * 3000, "UrlRefused"),
        ("http://" + "a" * 64 + ".org/", "UrlRefused"),
        ("http://example.org:22/", "PortRefused"),
        ("http://example.org:6379/", "PortRefused"),
        ("https://example.org:10250/", "PortRefused"),
        ("http://example.org:0/", "PortRefused"),
        ("http://example.org:99999/", "PortRefused"),
        ("http://example.org:port/", "UrlRefused"),
        ("http://example.org:-1/", "PortRefused"),
    ],
)
async def test_bad_urls_say_what_is_wrong(url: str, reason: str) -> None:
    """6.4: only http and https, one reading only, ports by setting."""
    async with sender(Guard()) as sending:
        answer = await sending.send(message(url))
        assert (answer.meaning, answer.reason) == (Meaning.UNSENT, reason), answer


@pytest.mark.parametrize("address", ANSWERS)
async def test_a_name_is_worth_its_address(address: str) -> None:
    """6.4: whatever the name server says, the address decides, and the message names it."""
    async with listening() as v4, name_server(lambda name, before: [address]) as (_, resolve):
        async with sender(ANY_PORT, resolve=resolve) as sending:
            answer = await sending.send(message(f"http://hooks.example.org:{v4.port}/"))
        assert (answer.meaning, answer.reason) == (Meaning.UNSENT, "AddressRefused"), answer
        assert "hooks.example.org is at" in answer.message and "HOLDFAST_CALLBACK_ALLOW_CIDRS" in answer.message
        assert v4.connections == 0


async def test_of_several_addresses_only_an_allowed_one_is_connected_to() -> None:
    """6.4: a private one among them is left out, first or last."""
    allowed = Guard.of("127.0.0.7/32", "", "1-65535")
    async with listening() as bad, listening(host="127.0.0.7") as good:
        for answers in (["127.0.0.1", "127.0.0.7"], ["127.0.0.7", "127.0.0.1"]):
            zone = functools.partial(_always, answers)
            async with name_server(zone) as (_, resolve), sender(allowed, resolve=resolve) as sending:
                answer = await sending.send(message(f"http://hooks.example.org:{good.port}/"))
            assert answer.meaning is Meaning.DELIVERED, answer
        assert bad.connections == 0 and good.connections == 2


async def test_a_name_that_changes_between_two_look_ups() -> None:
    """6.4: DNS rebinding. The address that was judged is connected to; another one later is judged again."""
    allowed = Guard.of("127.0.0.7/32", "", "1-65535")
    async with listening(host="127.0.0.7") as good:

        def zone(name: str, before: int) -> list[str]:
            return ["127.0.0.7"] if before == 0 else ["127.0.0.1"]

        async with name_server(zone) as (server, resolve), sender(allowed, resolve=resolve) as sending:
            url = f"http://rebind.example.org:{good.port}/"
            first = await sending.send(message(url))
            assert first.meaning is Meaning.DELIVERED, first
            assert server.asked["rebind.example.org", A] == 1, "judged and connected to by one look-up"
        zone_later = functools.partial(_always, ["127.0.0.1"])
        async with name_server(zone_later) as (_, resolve), sender(allowed, resolve=resolve) as sending:
            async with listening() as bad:
                later = await sending.send(message(f"http://rebind.example.org:{bad.port}/"))
            assert later.reason == "AddressRefused" and bad.connections == 0


async def test_a_name_that_rebinds_with_every_question() -> None:
    """6.4: many senders at once against a name server that alternates: the forbidden socket sees nobody."""
    allowed = Guard.of("127.0.0.7/32", "", "1-65535")
    async with listening(host="127.0.0.7") as good, listening() as bad:

        def zone(name: str, before: int) -> list[str]:
            return ["127.0.0.7"] if before % 2 == 0 else ["127.0.0.1", "::1"]

        async with name_server(zone) as (_, resolve), sender(allowed, resolve=resolve) as sending:
            names = [
                f"http://a{number % 10}.example.org:{port}/" for number in range(40) for port in (good.port, bad.port)
            ]
            answers = await asyncio.gather(*(sending.send(message(url)) for url in names))
        assert bad.connections == 0
        assert {answer.reason for answer in answers} <= {
            "Delivered",
            "AddressRefused",
            "ConnectFailed",
            "ConnectTimeout",
        }
        assert sum(answer.meaning is Meaning.DELIVERED for answer in answers) >= 10


async def test_a_name_without_address() -> None:
    """Bad input: it is tried again, for names come and go."""
    async with name_server(lambda name, before: []) as (_, resolve), sender(resolve=resolve) as sending:
        answer = await sending.send(message("http://nobody.example.org/"))
        assert (answer.meaning, answer.reason) == (Meaning.FAILED, "NameNotFound")


async def test_the_resolver_of_the_machine_is_guarded_too() -> None:
    """6.4: localhost is looked up as any other name, in a thread, and judged."""
    async with listening() as receiver:
        async with sender(ANY_PORT) as sending:
            refused = await sending.send(message(f"http://localhost:{receiver.port}/"))
            assert refused.reason == "AddressRefused" and receiver.connections == 0
            unknown = await sending.send(message("http://no-such-name.invalid/"))
            assert unknown.reason == "NameNotFound"
        async with sender(Guard.of("", "localhost", "1-65535")) as sending:
            assert (await sending.send(message(f"http://localhost:{receiver.port}/"))).meaning is Meaning.DELIVERED


@pytest.mark.parametrize(
    ("cidrs", "hosts", "host", "address", "allowed"),
    [
        ("10.0.0.0/8", "", "x.example.org", "10.1.2.3", True),
        ("10.0.0.0/8", "", "x.example.org", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "", "x.example.org", "64:ff9b::10.1.2.3", True),
        ("10.0.0.0/8", "", "x.example.org", "192.168.1.1", False),
        ("fd00::/8", "", "x.example.org", "fd12::1", True),
        ("", "x.example.org", "x.example.org", "10.1.2.3", True),
        ("", "x.example.org", "x.example.org.", "10.1.2.3", True),
        ("", "x.example.org", "y.x.example.org", "10.1.2.3", False),
        ("", "*.example.org", "y.x.example.org", "10.1.2.3", True),
        ("", "*.example.org", "example.org", "10.1.2.3", False),
        ("", "*.example.org", "badexample.org", "10.1.2.3", False),
        ("", "x.example.org", "x.example.org", "fd12::1", True),
        ("", "x.example.org", "x.example.org", "127.0.0.1", True),
        ("", "x.example.org", "x.example.org", "169.254.169.254", False),
        ("", "x.example.org", "x.example.org", "fd00:ec2::254", False),
        ("", "x.example.org", "x.example.org", "100.100.100.200", False),
        ("169.254.169.254/32", "", "x.example.org", "169.254.169.254", True),
        ("", "", "x.example.org", "93.184.215.14", True),
        ("", "", "x.example.org", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("", "", "x.example.org", "64:ff9b::93.184.215.14", True),
        ("", "", "x.example.org", "::ffff:93.184.215.14", True),
        ("", "", "10.1.2.3", "10.1.2.3", False),
        ("10.0.0.0/8", "", "10.1.2.3", "10.1.2.3", True),
    ],
)
def test_what_the_settings_allow(cidrs: str, hosts: str, host: str, address: str, allowed: bool) -> None:
    """6.4: by network whatever it is; by name what is private, never what is link-local or a metadata service."""
    guard = Guard.of(cidrs, hosts)
    if allowed:
        assert guard.addresses(host, [ip_address(address)]) == [ip_address(address)]
    else:
        with pytest.raises(Refused) as refused:
            guard.addresses(host, [ip_address(address)])
        assert refused.value.reason == "AddressRefused"


@pytest.mark.parametrize(
    ("cidrs", "hosts", "ports"),
    [("10.0.0.1/8", "", "80"), ("ten", "", "80"), ("", "a b", "80"), ("", "*", "80"), ("", "", "0"), ("", "", "9-1")],
)
def test_settings_that_cannot_be_read_are_refused(cidrs: str, hosts: str, ports: str) -> None:
    """6.4: never taken for something wider."""
    with pytest.raises(ValueError):
        Guard.of(cidrs, hosts, ports)
