"""Runs one BatchJob through the API server and waits for its end: exit status 0 where it is Complete."""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

LIMIT_SECONDS = 120
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
HOST = os.environ["KUBERNETES_SERVICE_HOST"]
SERVER = f"https://{f'[{HOST}]' if ':' in HOST else HOST}:{os.environ['KUBERNETES_SERVICE_PORT']}"
JOBS = f"{SERVER}/apis/holdfast.dev/v1alpha1/namespaces/{os.environ['NAMESPACE']}/batchjobs"
TRUST = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")


def call(method, url, body=None):
    token = Path(f"{ACCOUNT}/token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10, context=TRUST) as answer:
        return json.load(answer)


spec = {"executor": "Pod", "command": ["/bin/true"], "deadline": "2m", "pod": json.loads(os.environ["POD"])}
job = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "metadata": {"generateName": "helm-test-"}}
name = call("POST", JOBS, {**job, "spec": spec})["metadata"]["name"]
deadline, status = time.monotonic() + LIMIT_SECONDS, {}
try:
    while time.monotonic() < deadline and status.get("phase") not in ("Succeeded", "Failed", "Canceled"):
        time.sleep(0.5)
        status = call("GET", f"{JOBS}/{name}").get("status", {})
finally:
    call("DELETE", f"{JOBS}/{name}")
print(json.dumps(status, indent=1))
sys.exit(0 if status.get("phase") == "Succeeded" else 1)
