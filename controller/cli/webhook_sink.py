"""`holdfast webhook-sink`: a small receiver on this machine, for setting callbacks up and for the demo."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import signal
from typing import TYPE_CHECKING

import click

from controller.cli.session import note

if TYPE_CHECKING:
    from controller.cli.sink import Received, Sink

SECRET_BYTES = 32


@click.command("webhook-sink")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port to listen on; 0: a free one."
)
@click.option(
    "--secret",
    "given",
    multiple=True,
    metavar="whsec_…",
    envvar="WEBHOOK_SECRET",
    help="Secret that may have signed; may be repeated. Default: $WEBHOOK_SECRET, else a new one.",
)
@click.option("--fail", type=click.IntRange(min=0), default=0, metavar="N", help="Answer the first N with --status.")
@click.option("--status", type=click.IntRange(200, 599), default=503, show_default=True, help="What --fail answers.")
@click.option("--delay", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Wait S seconds before answers.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N requests.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the lines.")
def webhook_sink(
    host: str,
    port: int,
    given: tuple[str, ...],
    fail: int,
    status: int,
    delay: float,
    count: int | None,
    output: str,
) -> None:
    """Receive callbacks here: verify each signature, tell duplicates by their id, and print a line.

    The controller reaches it where HOLDFAST_CALLBACK_ALLOW_HOSTS names localhost and HOLDFAST_CALLBACK_PORTS its port.

    \b
      holdfast webhook-sink
      holdfast webhook-sink --fail 2        # the first two tries fail
    """
    for secret in given:
        if not _is_secret(secret):
            raise click.UsageError("--secret is whsec_ followed by base64")
    known = given or (f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}",)
    from controller.cli.sink import Sink  # with the HTTP server, 0.2 s of import

    done = asyncio.Event()

    def show(received: Received) -> None:
        click.echo(received.json() if output == "json" else received.line())
        if count is not None and sink.count >= count:
            done.set()

    sink = Sink(known, show, fail, status, delay)
    asyncio.run(_serve(sink, host, port, done, None if given else known[0]))


async def _serve(sink: Sink, host: str, port: int, done: asyncio.Event, made: str | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    url = await sink.start(host, port)
    note(f"listening on {url}")
    if made is not None:
        note(f"kubectl create secret generic webhook --from-literal=secret={made}")
    try:
        await done.wait()
    finally:
        await sink.stop()


def _is_secret(text: str) -> bool:
    try:
        return text.startswith("whsec_") and len(base64.b64decode(text[6:], validate=True)) > 0
    except binascii.Error:
        return False
