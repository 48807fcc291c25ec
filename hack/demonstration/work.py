"""The work: real files, the programs that the jobs run on them, and the manifests for kubectl.

Every job first appends a line to a ledger of its own accord: that is how often it was started, whoever says otherwise.
"""

from __future__ import annotations

import itertools
import json
import random
import time
import zlib
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from demonstration.stage import python

QUEUE, QUEUE_LIMIT, SHORT_JOBS = "narrow", 2, 6
BAD_DELIVERY = "delivery-4.json"
LEAST_BYTES, MOST_BYTES = 160 * 1024**2, 800 * 1024**2
COMPRESS_SECONDS = 20.0  # about this long the compression is to last: longer than the outage
BLOCK = 4 * 1024**2

PROJECT = '''\
"""A token bucket: at most `rate` calls a second, in bursts of at most `capacity`."""
import threading
import time


class TokenBucket:
    def __init__(self, rate, capacity, clock=time.monotonic):
        self.rate, self.capacity, self._clock = rate, capacity, clock
        self._tokens, self._at, self._lock = float(capacity), clock(), threading.Lock()

    def take(self):
        with self._lock:
            now = self._clock()
            self._tokens = min(self.capacity, self._tokens + (now - self._at) * self.rate)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
'''

TESTS = """\
import threading
import time
import unittest

from bucket import TokenBucket


class Contract:
    rate = 0

    def setUp(self):
        self.now = 0.0  # stands still but for `wait`: a busy machine hands out no tokens
        self.bucket = TokenBucket(self.rate, capacity=3, clock=lambda: self.now)

    def wait(self, seconds):
        time.sleep(seconds)
        self.now += seconds

    def test_a_burst_is_let_through(self):
        self.assertEqual([self.bucket.take() for _ in range(4)], [True, True, True, False])

    def test_a_token_comes_back(self):
        while self.bucket.take():
            pass
        self.wait(1.3 / self.rate)
        self.assertTrue(self.bucket.take())

    def test_it_never_holds_more_than_its_capacity(self):
        self.wait(5 / self.rate)
        self.assertEqual(sum(self.bucket.take() for _ in range(10)), 3)

    def test_the_rate_is_kept_by_many_threads(self):
        taken, began = [], time.monotonic()
        bucket = TokenBucket(self.rate, capacity=3)

        def work():
            while time.monotonic() < began + 2.0:
                if bucket.take():
                    taken.append(time.monotonic())
                time.sleep(0.005)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(len(taken), 3 + self.rate * (time.monotonic() - began))


def at(rate):
    return type(f"At{rate}PerSecond", (Contract, unittest.TestCase), {"rate": rate})


"""
TESTS_PER_CLASS = 4
RATES = (3, 4, 5, 6, 7, 8, 9, 10)

COMPRESS = """\
import sys, zlib

source, target, times = sys.argv[1:]
for _ in range(int(times)):
    done, packer = 0, zlib.compressobj(6, wbits=31)
    with open(source, "rb") as read, open(target, "wb") as write:
        while block := read.read(4 << 20):
            write.write(packer.compress(block))
            done += len(block)
            print(f"{done >> 20} MiB read", flush=True)
        write.write(packer.flush())
"""

CHECK = """\
import json, pathlib, sys, time

seen = set()
while True:
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        if path.name in seen:
            continue
        seen.add(path.name)
        try:
            amount = json.loads(path.read_text())["amount"]
        except ValueError as error:
            print(f"{path.name} is damaged: {error}", flush=True)
            sys.exit(7)
        print(f"{path.name}: {amount}", flush=True)
    time.sleep(0.1)
"""

PRIMES = """\
import time

number, found = 2, 0
while True:
    until = time.monotonic() + 0.02
    while time.monotonic() < until:
        found += all(number % d for d in range(2, int(number**0.5) + 1))
        number += 1
    print(f"{found} primes below {number}", flush=True)
    time.sleep(0.2)
"""

# $0 is the ledger. A line is one write(2) to a file opened for appending, so lines of several jobs do not mix.
SIGN = 'echo "{} $HOLDFAST_JOB $$ $(date +%s.%N)" >>"$0"'
SIGNED = f'{SIGN.format("start")}; exec "$@"'
SIGNED_BOTH = f'{SIGN.format("start")}; "$@"; code=$?; sleep 1; {SIGN.format("end")}; exit $code'


@dataclass(frozen=True)
class Line:
    """What a job wrote into the ledger: `what` is start or end, `at` seconds since the epoch."""

    what: str
    job: str
    pid: int
    at: float


@dataclass(frozen=True)
class Work:
    """Files below `root`, made by `make`.

    Args:
        digest: SHA-256 of the file that is compressed.
        tests: how many tests the project has.
        times: how often the text is compressed.
    """

    root: Path
    digest: str
    size: int
    tests: int = 0
    times: int = 1

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def text(self) -> Path:
        return self.root / "big.txt"

    @property
    def archive(self) -> Path:
        return self.root / "big.txt.gz"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    def with_tests(self, seconds: float) -> Work:
        """Write so many tests that they take about `seconds`, by the times that they wait for the bucket.

        The text is compressed as often as that takes about as long.
        """
        text, took, tests = TESTS, 0.0, 0
        for number, rate in enumerate(itertools.cycle(RATES), start=1):
            text += f"Test{number} = at({rate})\n"
            tests += TESTS_PER_CLASS
            took += 6.3 / rate + 2
            if took >= seconds:
                break
        (self.root / "project" / "test_bucket.py").write_text(text)
        return replace(self, tests=tests, times=max(1, round(seconds / COMPRESS_SECONDS)))

    def deliver(self, number: int) -> None:
        """Put a delivery into the inbox, whole at once; number 4 is damaged."""
        name = f"delivery-{number}.json"
        content = json.dumps({"amount": number * 100})
        hidden = self.inbox / f".{name}"
        hidden.write_text(content[:-4] if name == BAD_DELIVERY else content)
        hidden.rename(self.inbox / name)

    def read_ledger(self) -> list[Line]:
        """All lines so far."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        fields = [line.split() for line in text.splitlines()]
        return [Line(what, job, int(pid), float(at)) for what, job, pid, at in fields]

    def manifests(self) -> list[dict[str, Any]]:
        """What is applied: the queue, then the jobs."""
        files, run = self.root, python()
        jobs = [
            self._job("run-tests", SIGNED, [run, "-u", "-m", "unittest", "-v"], workingDir=str(files / "project")),
            self._job("compress", SIGNED, [run, str(files / "compress.py"), *self._compressed()]),
            self._job("check-deliveries", SIGNED, [run, str(files / "check.py"), str(self.inbox)]),
            self._job("search-primes", SIGNED, [run, str(files / "primes.py")], gracePeriod="30s"),
        ]
        for number in range(1, SHORT_JOBS + 1):
            jobs.append(self._job(f"checksum-{number}", SIGNED_BOTH, ["sha256sum", str(self.text)], queue=QUEUE))
        return [object_of("JobQueue", QUEUE, {"concurrency": QUEUE_LIMIT}), *jobs]

    def _compressed(self) -> list[str]:
        return [str(self.text), str(self.archive), str(self.times)]

    def _job(self, name: str, script: str, command: list[str], **spec: Any) -> dict[str, Any]:
        words = ["/bin/sh", "-c", script, str(self.ledger), *command]
        return object_of("BatchJob", name, {"command": words, **spec})


def make(root: Path) -> Work:
    """Make all files; takes about two seconds for a few hundred MB of text that compresses like text."""
    (root / "project").mkdir(parents=True)
    (root / "inbox").mkdir()
    for name, content in {
        "project/bucket.py": PROJECT,
        "compress.py": COMPRESS,
        "check.py": CHECK,
        "primes.py": PRIMES,
    }.items():
        (root / name).write_text(content)
    blocks = _text_blocks()
    size, digest = _size_for(blocks[0]), sha256()
    with (root / "big.txt").open("wb") as file:
        for number in range(size // BLOCK):
            block = b"%012d\n" % number + blocks[number % len(blocks)]
            digest.update(block)
            file.write(block)
    return Work(root, digest.hexdigest(), (root / "big.txt").stat().st_size)


def archive_holds(work: Work) -> bool:
    """Whether the archive is one whole gzip stream of exactly the text: cut, repeated or mixed output would not be."""
    digest, unpacker = sha256(), zlib.decompressobj(wbits=31)
    with work.archive.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(unpacker.decompress(block))
    return unpacker.eof and not unpacker.unused_data and digest.hexdigest() == work.digest


def most_at_once(lines: list[Line], prefix: str) -> int:
    """How many jobs whose names begin with `prefix` ran at the same time at most, by their own account."""
    steps = sorted((line.at, 1 if line.what == "start" else -1) for line in lines if line.job.startswith(prefix))
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


def _text_blocks() -> list[bytes]:
    dice = random.Random(7)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(4000)]
    return [" ".join(dice.choices(words, k=BLOCK // 6)).encode()[: BLOCK - 13] for _ in range(3)]


def _size_for(block: bytes) -> int:
    """So many bytes that this machine compresses for about COMPRESS_SECONDS."""
    began = time.perf_counter()
    zlib.compress(block, 6)
    rate = len(block) / (time.perf_counter() - began)
    return max(LEAST_BYTES, min(MOST_BYTES, int(rate * COMPRESS_SECONDS))) // BLOCK * BLOCK


def object_of(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A manifest of one of our kinds."""
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
