"""Apply the CRDs by server-side apply and wait until the API server serves them."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPException
from pathlib import Path
from typing import Any

from controller.local import http
from controller.local.home import Home
from controller.local.http import Request, Response

FIELD_MANAGER = "holdfast"
RESOURCE = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
REQUEST_SECONDS = 10.0
ESTABLISH_SECONDS = 30.0
POLL_SECONDS = 0.02


async def apply(home: Home, port: int, directory: Path) -> str | None:
    """Apply every manifest in `directory`; doing it again changes nothing.

    Returns:
        None when all kinds are served, otherwise why not, naming the manifest.
    """
    try:
        for path in sorted(directory.glob("*.yaml")):
            if (problem := await _apply_one(home, port, path)) is not None:
                return problem
    except (HTTPException, OSError) as error:
        return f"applying CRDs: {error or type(error).__name__}"
    return None


async def _apply_one(home: Home, port: int, path: Path) -> str | None:
    import yaml

    content = path.read_bytes()
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    manifest = yaml.load(content, loader)
    name = manifest["metadata"]["name"]
    response = await http.over_tls(
        home,
        port,
        Request(
            f"{RESOURCE}/{name}?fieldManager={FIELD_MANAGER}&force=true",
            "PATCH",
            content,
            {"Content-Type": "application/apply-patch+yaml"},
            REQUEST_SECONDS,
        ),
    )
    if response.status not in (200, 201):
        return f"{path.name}: {_message(response)}"
    spec = manifest["spec"]
    collections = [f"/apis/{spec['group']}/{v['name']}/{spec['names']['plural']}?limit=1" for v in spec["versions"]]
    return await _established(home, port, name) or await _served(home, port, collections)


def _message(response: Response) -> str:
    try:
        return str(json.loads(response.text)["message"])
    except (ValueError, KeyError, TypeError):
        return response.text.strip()[:500]


async def _established(home: Home, port: int, name: str) -> str | None:
    """The condition comes some 10 ms after the write; the discovery of the kind follows it at once."""
    deadline = asyncio.get_running_loop().time() + ESTABLISH_SECONDS
    message = "no condition yet"
    while asyncio.get_running_loop().time() < deadline:
        response = await http.over_tls(home, port, Request(f"{RESOURCE}/{name}", timeout_seconds=REQUEST_SECONDS))
        if response.status != 200:
            return f"CRD {name}: {_message(response)}"
        conditions = json.loads(response.text).get("status", {}).get("conditions") or []
        by_type = {condition["type"]: condition for condition in conditions}
        if by_type.get("Established", {}).get("status") == "True":
            return None
        if by_type.get("NamesAccepted", {}).get("status") == "False":
            message = by_type["NamesAccepted"]["message"]
        await asyncio.sleep(POLL_SECONDS)
    return f"CRD {name} is not established: {message}"


async def _served(home: Home, port: int, collections: list[str]) -> str | None:
    """Established is a promise: for some 100 ms a busy API server still answers 404 for the kind."""
    deadline = asyncio.get_running_loop().time() + ESTABLISH_SECONDS
    for collection in collections:
        while (
            response := await http.over_tls(home, port, Request(collection, timeout_seconds=REQUEST_SECONDS))
        ).status != 200:
            if asyncio.get_running_loop().time() > deadline:
                return f"{collection} is not served: {_message(response)}"
            await asyncio.sleep(POLL_SECONDS)
    return None
