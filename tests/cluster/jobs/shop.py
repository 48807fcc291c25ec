"""Jobs on the Repository of the fixture `shop`, whose remote wants a password."""

from __future__ import annotations

from typing import Any

from tests.integration.controller.jobs import Jobs, uid_of

TOKEN = "s3cret-of-the-remote"


def start(jobs: Jobs, image: str, name: str, script: str, *, use: dict[str, Any] | None = None, **spec: Any) -> str:
    """A job on the Repository, in an image with git; returns its uid."""
    pod = {"image": image, "imagePullPolicy": "Never", **spec.pop("pod", {})}
    repository = {"name": "shop", **(use or {})}
    return uid_of(jobs.shell(name, script, **{"gracePeriod": "1s", "pod": pod, "repository": repository, **spec}))
