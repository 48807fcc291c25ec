"""`holdfast webhook-sink` as a person runs it (design 8): verifies, tells duplicates, fails when told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

from controller.api.callback_use import CallbackEvent
from controller.decisions.answer import Meaning
from controller.decisions.outbox import deliveries_of
from controller.delivery.payload import payload_of
from controller.delivery.sender import Message
from controller.delivery.signing import Signer
from tests.integration.delivery.receivers import OTHER, SECRET, message, sender
from tests.unit.builders import START, job
from tests.unit.callback_builders import use

LIMIT = 60.0


@contextlib.asynccontextmanager
async def sink(*options: str, secret: str | None = SECRET) -> AsyncIterator[tuple[Process, str]]:
    """The command on a free port, and its URL."""
    command = (sys.executable, "-m", "controller.cli.main", "webhook-sink", "--port", "0", *options)
    environment = {name: value for name, value in os.environ.items() if name != "WEBHOOK_SECRET"}
    if secret is not None:
        environment["WEBHOOK_SECRET"] = secret
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)
    try:
        assert process.stderr is not None
        line = (await asyncio.wait_for(process.stderr.readline(), LIMIT)).decode()
        found = re.search(r"listening on (\S+)", line)
        assert found is not None, line
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), LIMIT)


async def lines(process: Process) -> list[str]:
    """All of its stdout, once it has ended."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.read(), LIMIT)).decode().splitlines()


async def test_what_it_tells() -> None:
    """6.2: taken, taken again, refused for its signature; one line each."""
    one = job("build").uid("u").build()
    (record,) = deliveries_of([use()], "u", 0, CallbackEvent.SUCCEEDED)
    async with sink("--count", "3", "-o", "json") as (process, url), sender() as sending:
        sent = Message(url, record.id, payload_of(one, record, START), Signer(SECRET.encode()))
        forged = Message(url, record.id, payload_of(one, record, START), Signer(OTHER.encode()))
        codes = [(await sending.send(each)).code for each in (sent, sent, forged)]
        told = [json.loads(line) for line in await lines(process)]
        assert process.returncode == 0 or await asyncio.wait_for(process.wait(), LIMIT) == 0
    assert codes == [204, 204, 401]
    assert [(each["duplicate"], each["problem"]) for each in told] == [
        (0, ""),
        (1, ""),
        (0, "No matching signature found"),
    ]
    assert told[0]["job"] == "default/build" and told[0]["type"] == "batchjob.succeeded" and told[0]["id"] == record.id


async def test_it_fails_as_often_as_told() -> None:
    """6.3: for trying out what happens then."""
    async with sink("--fail", "2", "--status", "429") as (_, url), sender() as sending:
        answers = [await sending.send(message(url)) for _ in range(3)]
    assert [(answer.code, answer.meaning) for answer in answers] == [
        (429, Meaning.BUSY),
        (429, Meaning.BUSY),
        (204, Meaning.DELIVERED),
    ]


async def test_what_is_shown_is_plain() -> None:
    """6.4: a stranger writes nothing to the terminal but one line."""
    rubbish = '{"type": "\\u001b[2Jx\\n", "data": {"job": 7, "attempt": []}}'
    async with sink("--count", "2") as (process, url), sender() as sending:
        for text in (rubbish, "[" * 100_000):
            await sending.send(Message(url, "msg_1", text, Signer(SECRET.encode())))
        told = await lines(process)
    assert len(told) == 2 and all(line.isprintable() for line in told)


async def test_without_a_secret_it_makes_one() -> None:
    """6.2: and says the command that gives it to the cluster."""
    async with sink("--count", "1", secret=None) as (process, url), sender() as sending:
        assert process.stderr is not None
        hint = (await asyncio.wait_for(process.stderr.readline(), LIMIT)).decode()
        found = re.search(r"secret=(whsec_[A-Za-z0-9+/=]+)", hint)
        assert found is not None and "kubectl create secret generic" in hint
        answer = await sending.send(Message(url, "msg_1", "{}", Signer(found[1].encode())))
        assert answer.meaning is Meaning.DELIVERED
