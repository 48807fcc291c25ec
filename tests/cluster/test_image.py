"""The operator's image, as hack/image/build makes it, in a Pod with as few rights as there are."""

from __future__ import annotations

import json
import textwrap

from tests.cluster.pods import Pods

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
ASK = textwrap.dedent("""
    import json, ssl, urllib.error, urllib.request
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    trust = ssl.create_default_context(cafile=f"{account}/ca.crt")
    headers = {"Authorization": "Bearer " + open(f"{account}/token").read()}
    for path in ("/version", "/api/v1/nodes", "/api/v1/namespaces/kube-system/secrets"):
        request = urllib.request.Request(f"https://10.0.0.1{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
                print(json.dumps([path, answer.status]))
        except urllib.error.HTTPError as error:
            print(json.dumps([path, error.code]))
""")


def test_the_image_runs_with_the_fewest_rights(pods: Pods, operator_image: str) -> None:
    """Issue 7.4: non-root, read-only root file system; the command, git and ssh are there and nothing is writable."""
    script = (
        "id -u; holdfast --version; git --version; ssh -V 2>&1; touch /app/x /usr/x /var/lib/holdfast/x /tmp/x; ls /app"
    )
    ended = pods.run("sh", "-c", script, image=operator_image, container={"securityContext": RESTRICTED})
    lines = ended.output.splitlines()
    assert ended.exit_code == 0, ended.output
    assert lines[0] == "10001"
    assert lines[1].startswith("holdfast ")
    assert lines[2].startswith("git version")
    assert lines[3].startswith("OpenSSH")
    assert sum("Read-only file system" in line for line in lines) == 4


def test_the_entrypoint_is_the_controller(pods: Pods, operator_image: str) -> None:
    """Issue 7.4: without a command of the Pod the image runs the controller."""
    help_only = {"args": ["controller", "--help"], "securityContext": RESTRICTED}
    ended = pods.run(image=operator_image, container=help_only)
    assert ended.exit_code == 0
    assert "Run the controller until SIGTERM" in ended.output


def test_a_pod_reaches_the_api_server_with_the_rights_of_its_account(pods: Pods, operator_image: str) -> None:
    """10.0.0.1:443 leads to the API server, whose certificate is trusted; what the account may not is 403, not 401."""
    ended = pods.run("python3", "-c", ASK, image=operator_image, container={"securityContext": RESTRICTED})
    answers = dict(json.loads(line) for line in ended.output.splitlines())
    assert answers == {"/version": 200, "/api/v1/nodes": 403, "/api/v1/namespaces/kube-system/secrets": 403}
