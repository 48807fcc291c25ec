"""The way to a receiver: TLS names, proxies, and what of the environment is not used (6.4)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from controller.decisions.answer import Meaning
from controller.delivery.guard import Guard
from tests.integration.delivery.names import name_server
from tests.integration.delivery.receivers import (
    PAYLOAD,
    Authority,
    answer_of,
    listening,
    message,
    sender,
)
from tests.integration.delivery.tempers import (
    deaf,
    reset_at_once,
    rubbish_first,
)

# --- TLS


async def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path) -> None:
    """6.4: connected to by the judged address, trusted by the name in the URL."""
    authority = Authority.make(tmp_path, "hooks.example.org")
    async with (
        listening(tls=authority.server) as receiver,
        name_server(lambda name, before: ["127.0.0.1"]) as (_, resolve),
    ):
        async with sender(resolve=resolve, tls=authority.trusted) as sending:
            good = await sending.send(message(f"https://hooks.example.org:{receiver.port}/"))
            assert good.meaning is Meaning.DELIVERED, good
            for host in ("other.example.org", "127.0.0.1"):
                bad = await sending.send(message(f"https://{host}:{receiver.port}/"))
                assert (bad.meaning, bad.reason) == (Meaning.FAILED, "CertificateNotTrusted"), bad
        async with sender(resolve=resolve) as sending:
            unknown = await sending.send(message(f"https://hooks.example.org:{receiver.port}/"))
            assert unknown.reason == "CertificateNotTrusted" and "self" in unknown.message
    assert len(receiver.requests) == 1


async def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    """Faults: said as what it is."""
    authority = Authority.make(tmp_path, "127.0.0.1", days=-1)
    async with listening(tls=authority.server) as receiver, sender(tls=authority.trusted) as sending:
        answer = await sending.send(message(receiver.url.replace("http:", "https:")))
    assert answer.reason == "CertificateNotTrusted" and "expired" in answer.message


async def test_tls_with_who_speaks_none() -> None:
    """Faults: a plain receiver at an https URL, and one that hangs up or says nothing in the handshake."""
    for talk in (rubbish_first, reset_at_once, deaf):
        async with listening(talk) as receiver, sender() as sending:
            url = receiver.url.replace("http:", "https:")
            answer = await sending.send(message(url, connect_seconds=1.0))
        assert answer.meaning is Meaning.FAILED and answer.code is None
        assert answer.reason in ("TLSFailed", "ConnectFailed", "ConnectTimeout", "ConnectionBroken"), answer


# --- proxies


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """6.4: only the setting names one."""
    async with listening() as proxy, listening() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with sender() as sending:
            assert (await sending.send(message(receiver.url))).meaning is Meaning.DELIVERED
        assert proxy.connections == 0 and receiver.connections == 1


async def test_the_proxy_of_the_setting_is_used() -> None:
    """6.4: for all, with its password; what the URL names plainly is still judged."""
    async with listening() as proxy:
        async with sender(Guard(), proxy=f"http://user:pass@127.0.0.1:{proxy.port}") as sending:
            answer = await sending.send(message("http://hooks.example.org/x"))
            assert answer.meaning is Meaning.DELIVERED
            refused = await sending.send(message("http://169.254.169.254/"))
            assert refused.reason == "AddressRefused"
        (got,) = proxy.requests
    assert got.line == "POST http://hooks.example.org/x HTTP/1.1"
    assert got.headers["proxy-authorization"].startswith("Basic ") and got.body == PAYLOAD.encode()


async def test_netrc_and_cookies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """6.4: nothing of the machine or of an earlier answer goes along."""
    with tempfile.NamedTemporaryFile("w", suffix="netrc") as file:
        file.write("machine 127.0.0.1 login me password hidden\n")
        file.flush()
        monkeypatch.setenv("NETRC", file.name)
        async with listening(answer=answer_of(200, "Set-Cookie: a=b; Path=/")) as receiver, sender() as sending:
            for _ in range(2):
                await sending.send(message(receiver.url))
    for got in receiver.requests:
        assert "authorization" not in got.headers and "cookie" not in got.headers
