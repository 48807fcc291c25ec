"""Our signatures in another language: the official npm package `standardwebhooks`, where Node is there (6.2)."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.delivery.signing import Signer
from tests.integration.delivery.receivers import OTHER, PAYLOAD, SECRET
from tests.needs import need

PACKAGE = "standardwebhooks@1.1.1"
INSTALL_SECONDS, RUN_SECONDS = 90, 30
VERIFY = """
const { Webhook } = require("standardwebhooks");
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(({ secret, payload, headers }) => {
  try {
    new Webhook(secret).verify(payload, headers);
    return "verified";
  } catch (error) {
    return error.message;
  }
})));
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package; without Node, or where it cannot be fetched, the tests are skipped."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("node")
    command = [need("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{PACKAGE} was not fetched within {INSTALL_SECONDS} s")
    if done.returncode != 0:
        pytest.skip(f"{PACKAGE} cannot be fetched: {done.stderr[-300:]}")
    return folder


def verify(folder: Path, cases: list[dict[str, object]]) -> list[str]:
    """What the package says of each."""
    done = subprocess.run(
        [need("node"), "-e", VERIFY],
        cwd=folder,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=True,
    )
    return list(json.loads(done.stdout))


def test_javascript_verifies_what_we_sign(node: Path) -> None:
    """6.2: one secret, several, text beyond ASCII; not another secret, another body, another id, an old one."""
    now, text = datetime.now(UTC), PAYLOAD.replace("Succeeded", "Grüße ✓ 𝄞")
    headers = Signer(SECRET.encode()).headers("msg_1", text, now)
    both = Signer(f"{OTHER} {SECRET}".encode()).headers("msg_1", text, now)
    old = Signer(SECRET.encode()).headers("msg_1", text, now - timedelta(minutes=6))
    cases: list[dict[str, object]] = [
        {"secret": SECRET, "payload": text, "headers": headers},
        {"secret": SECRET, "payload": text, "headers": both},
        {"secret": OTHER, "payload": text, "headers": both},
        {"secret": OTHER, "payload": text, "headers": headers},
        {"secret": SECRET, "payload": text + " ", "headers": headers},
        {"secret": SECRET, "payload": text, "headers": headers | {"webhook-id": "msg_2"}},
        {"secret": SECRET, "payload": text, "headers": old},
    ]
    told = verify(node, cases)
    assert told[:3] == ["verified"] * 3
    assert told[3:] == ["No matching signature found"] * 3 + ["Message timestamp too old"]
