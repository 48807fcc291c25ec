"""Apply the CRDs by server-side apply and wait until the API server serves them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import yaml

from controller.local.components import tls_context
from controller.local.home import Home

FIELD_MANAGER = "holdfast"
RESOURCE = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TIMEOUT_SECONDS = 10.0
ESTABLISH_SECONDS = 30.0


async def apply(home: Home, port: int, directory: Path) -> str | None:
    """Apply every manifest in `directory`; doing it again changes nothing.

    Returns:
        None when all kinds are served, otherwise why not, naming the manifest.
    """
    async with httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{port}", verify=tls_context(home), timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:
        try:
            for path in sorted(directory.glob("*.yaml")):
                if (problem := await _apply_one(client, path)) is not None:
                    return problem
        except httpx.HTTPError as error:
            return f"applying CRDs: {error or type(error).__name__}"
    return None


async def _apply_one(client: httpx.AsyncClient, path: Path) -> str | None:
    content = path.read_bytes()
    name = yaml.safe_load(content)["metadata"]["name"]
    response = await client.patch(
        f"{RESOURCE}/{name}",
        params={"fieldManager": FIELD_MANAGER, "force": "true"},
        headers={"Content-Type": "application/apply-patch+yaml"},
        content=content,
    )
    if not response.is_success:
        return f"{path.name}: {response.json().get('message', response.text)}"
    return await _established(client, name)


async def _established(client: httpx.AsyncClient, name: str) -> str | None:
    """The condition comes some 10 ms after the write; the discovery of the kind follows it at once."""
    deadline = asyncio.get_running_loop().time() + ESTABLISH_SECONDS
    message = "no condition yet"
    while asyncio.get_running_loop().time() < deadline:
        conditions = (await client.get(f"{RESOURCE}/{name}")).json().get("status", {}).get("conditions") or []
        by_type = {condition["type"]: condition for condition in conditions}
        if by_type.get("Established", {}).get("status") == "True":
            return None
        if by_type.get("NamesAccepted", {}).get("status") == "False":
            message = by_type["NamesAccepted"]["message"]
        await asyncio.sleep(0.02)
    return f"CRD {name} is not established: {message}"
