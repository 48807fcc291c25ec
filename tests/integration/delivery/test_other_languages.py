"""How README says that callbacks are verified, run as it stands there: in Python, and in JavaScript by the official
npm package `standardwebhooks` (6.2)."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.exceptions import WebhookVerificationError

from controller.delivery.signing import Signer
from tests.integration.delivery.receivers import OTHER, PAYLOAD, SECRET
from tests.needs import lack, need

PACKAGE = "standardwebhooks@1.1.1"
INSTALL_SECONDS, RUN_SECONDS = 180, 60
README = Path(__file__).resolve().parents[3] / "README.md"
VERIFY = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(({ secret, payload: body, headers }) => {
  try {
    %s
    return event.type;
  } catch (error) {
    return error.message;
  }
})));
"""


def documented(language: str) -> str:
    """The code of this language in README's section about callbacks."""
    section = README.read_text().partition("\n## Callbacks\n")[2].partition("\n## ")[0]
    (code,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(code)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package."""
    need("node")
    folder = tmp_path_factory.mktemp("node")
    command = [need("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        lack(f"{PACKAGE} was not fetched within {INSTALL_SECONDS} s")
    if done.returncode != 0:
        lack(f"{PACKAGE} cannot be fetched: {done.stderr[-300:]}")
    return folder


def verify(folder: Path, cases: list[dict[str, object]]) -> list[str]:
    """What the package says of each."""
    done = subprocess.run(
        [need("node"), "-e", VERIFY % documented("javascript")],
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
    assert told[:3] == [json.loads(PAYLOAD)["type"]] * 3
    assert told[3:] == ["No matching signature found"] * 3 + ["Message timestamp too old"]


def test_python_verifies_what_we_sign() -> None:
    """6.2: the lines of README take what we sign and raise what they say for another secret."""
    headers = Signer(SECRET.encode()).headers("msg_1", PAYLOAD, datetime.now(UTC))
    names: dict[str, object] = {"secret": SECRET, "body": PAYLOAD, "headers": headers}
    exec(documented("python"), names)
    assert names["event"] == json.loads(PAYLOAD)
    with pytest.raises(WebhookVerificationError):
        exec(documented("python"), {**names, "secret": OTHER})
