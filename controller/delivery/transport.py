"""The httpx transport of all callbacks: one pool of guarded connections, HTTP/1.1 and HTTP/2.

Promises: every connection goes through `connect.GuardedBackend`, or to the one proxy that the settings name; it keeps
no cookies, follows no redirects, logs no URLs and reads no environment.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator

import certifi
import httpcore
import httpx
from h2.exceptions import H2Error  # comes with httpx[http2]

from controller.delivery.connect import GuardedBackend, Resolver, SystemResolver
from controller.delivery.guard import Guard

KEEP_SECONDS = 15.0  # that an idle connection is kept: receivers close theirs not much later
KEEP_CONNECTIONS = 128

# The most exact ones first.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.TimeoutException, httpx.ReadTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.NetworkError, httpx.ReadError),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
    (httpcore.ConnectionNotAvailable, httpx.ConnectError),
    (H2Error, httpx.RemoteProtocolError),  # a body of another length than was announced: httpcore lets it through
)
CAUGHT = tuple(ours for ours, _ in _ERRORS)


def trust() -> ssl.SSLContext:
    """The certificates that the machine trusts (SSL_CERT_FILE and SSL_CERT_DIR too), or certifi's where it has none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        context.load_verify_locations(certifi.where())
    return context


class GuardedTransport(httpx.AsyncBaseTransport):
    """See the module.

    Args:
        guard: what may be reached; with a proxy it judges URLs and addresses in them, names are the proxy's matter.
        resolve: finds the addresses of names.
        tls: whom to trust; default: `trust()`.
        proxy: URL of the proxy that all callbacks go through.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        resolve: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        direct = GuardedBackend(guard, resolve or SystemResolver())
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or trust(),
            proxy=_proxy(proxy) if proxy else None,
            max_connections=None,  # the limits per host and in all are the caller's
            max_keepalive_connections=KEEP_CONNECTIONS,
            keepalive_expiry=KEEP_SECONDS,
            http2=True,
            network_backend=None if proxy else direct,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request to one URL that the guard has let through.

        Raises:
            Refused: the host is at no address that is allowed.
            Unresolved: the host has no address.
            httpx.TransportError: it could not be reached, or did not answer as HTTP wants it.
        """
        url = request.url
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            got = await self._pool.handle_async_request(sent)
        except CAUGHT as error:
            raise _mapped(error, request) from error
        assert isinstance(got.stream, AsyncIterable)
        return httpx.Response(got.status, headers=got.headers, stream=_Body(got), extensions=got.extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """The body as it comes; closing it early closes the connection."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.aiter_stream():
                yield part
        except CAUGHT as error:
            raise _mapped(error, None) from error

    async def aclose(self) -> None:
        await self._response.aclose()


def _mapped(error: Exception, request: httpx.Request | None) -> httpx.TransportError:
    made = next(theirs for ours, theirs in _ERRORS if isinstance(error, ours))
    return made(str(error) or type(error).__name__, request=request)


def _proxy(text: str) -> httpcore.Proxy:
    """User and password of the URL go into a header, so that no message shows them."""
    url = httpx.URL(text)
    auth = (url.username, url.password) if url.username else None
    return httpcore.Proxy(str(url.copy_with(username=None, password=None)), auth)
