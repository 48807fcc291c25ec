"""From flags to a BatchJob manifest. What the flags do not say is left out: the API server knows the defaults and
refuses what is wrong, naming the field."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from controller.api.keys import API_VERSION

Manifest = dict[str, Any]

NAME_LENGTH = 200  # of a generateName prefix made from a command: names have 253, and the API server adds five


def option(*names: str, **settings: Any) -> Callable[..., Any]:
    """A click option that is left out of the manifest where it is not given."""
    return click.option(*names, **{"default": None, **settings})


FLAGS = (
    option("--name", metavar="NAME", help="Name of the job; default: made from the command and a random ending."),
    option("-q", "--queue", metavar="QUEUE", help="JobQueue to wait in."),
    option("-p", "--priority", type=int, metavar="N", help="Higher ones start first."),
    click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Variable; without VALUE: this shell's."),
    click.option(
        "--env-key",
        multiple=True,
        metavar="NAME=secret|configmap/OBJECT/KEY",
        help="Variable from one key of a Secret or ConfigMap.",
    ),
    click.option(
        "--env-from",
        multiple=True,
        metavar="[PREFIX=]secret|configmap/OBJECT",
        help="Variables from all keys of a Secret or ConfigMap.",
    ),
    option("-w", "--working-dir", metavar="DIR", help="Directory to run in; default: an empty one of its own."),
    option("--repository", metavar="NAME", help="Repository to work on: the job runs in a checkout of its own."),
    option("--ref", metavar="REF", help="Branch, tag or whole commit id; default: the repository's branch."),
    option("--lock", type=click.Choice(["Exclusive", "Shared", "None"]), help="How the repository is held."),
    option("--push", type=click.Choice(["None", "Mirror", "Upstream"]), help="Where its pushes may end up."),
    option("--executor", type=click.Choice(["Process", "Pod"]), help="Where attempts run."),
    option("--image", metavar="IMAGE", help="Image of the Pod; without --executor the job runs as one."),
    option("--deadline", metavar="DURATION", help="Run time of one attempt, such as 90s or 1h30m."),
    option("--active-deadline", metavar="DURATION", help="Time for the job as a whole, queued or running."),
    option("--grace-period", metavar="DURATION", help="Time between TERM and KILL."),
    option("--retry", type=int, metavar="N", help="How many times a failed attempt is repeated."),
    option("--backoff", metavar="DURATION", help="Wait before the first repeat; doubled for each further one."),
    option("--max-backoff", metavar="DURATION", help="Upper bound of the wait."),
    option("--memory", metavar="QUANTITY", help="Memory of all its processes together, such as 2Gi."),
    option("--cpu", metavar="QUANTITY", help="Cores, such as 2 or 500m."),
    option("--open-files", type=int, metavar="N", help="Open files per process."),
    option("--output-bytes", metavar="QUANTITY", help="Size of the output at which the attempt ends."),
    option(
        "--on-lost", type=click.Choice(["Resume", "Restart", "Fail", "Manual"]), help="What follows a lost attempt."
    ),
    option(
        "--resume-command", metavar="COMMAND", help="What a resumed attempt runs, one string split as a shell would."
    ),
    option("--loss-limit", type=int, metavar="N", help="How many lost attempts are followed by another one."),
    click.option(
        "--callback",
        multiple=True,
        metavar="secret/OBJECT/KEY=URL",
        help="Tell URL of the job's end, signed with one key of a Secret.",
    ),
    option("--ttl", metavar="DURATION", help="Delete the object this long after its end."),
    click.option("--suspend", is_flag=True, help="Create it held back, to be started by `resume`."),
    click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Label of the object."),
    click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="Annotation of the object."),
)


def flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds FLAGS to a command."""
    for flag in reversed(FLAGS):
        function = flag(function)
    return function


def manifest(namespace: str, command: Sequence[str], given: dict[str, Any]) -> Manifest:
    """The BatchJob that the flags describe.

    Args:
        command: program and arguments.
        given: values of FLAGS by parameter name.

    Raises:
        click.UsageError: a flag of the form A=B that is not.
    """
    metadata: Manifest = {"name": given["name"]} if given["name"] else {"generateName": prefix(command)}
    metadata["namespace"] = namespace
    for key, flag in (("labels", "label"), ("annotations", "annotation")):
        if given[flag]:
            metadata[key] = dict(_pair(f"--{flag}", text) for text in given[flag])
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchJob",
        "metadata": metadata,
        "spec": {"command": list(command), **_spec(given)},
    }


def prefix(command: Sequence[str]) -> str:
    """generateName from the program's name: what a DNS name allows of it."""
    words = re.sub(r"[^a-z0-9]+", "-", Path(command[0]).name.lower()).strip("-")
    return f"{words[:NAME_LENGTH] or 'job'}-"


def _spec(given: dict[str, Any]) -> Manifest:
    """The fields in the order of the API, without those that were not given."""
    working_dir = given["working_dir"]
    fields: Manifest = {
        "env": [*map(_variable, given["env"]), *map(_key, given["env_key"])],
        "envFrom": [_source(text) for text in given["env_from"]],
        "workingDir": str(Path(working_dir).absolute()) if working_dir else None,
        "queue": given["queue"],
        "priority": given["priority"],
        "executor": given["executor"] or ("Pod" if given["image"] else None),
        "pod": _some(given, image="image"),
        "repository": _repository(given),
        "limits": _some(given, memory="memory", cpu="cpu", openFiles="open_files", outputBytes="output_bytes"),
        "deadline": given["deadline"],
        "activeDeadline": given["active_deadline"],
        "gracePeriod": given["grace_period"],
        "retry": _some(given, limit="retry", backoff="backoff", maxBackoff="max_backoff"),
        "resumeCommand": _words(given["resume_command"]),
        "onLost": given["on_lost"],
        "lossLimit": given["loss_limit"],
        "suspend": given["suspend"] or None,
        "callbacks": [_callback(number, text) for number, text in enumerate(given["callback"], start=1)],
        "ttlAfterFinished": given["ttl"],
    }
    return {key: value for key, value in fields.items() if value is not None and value not in ([], {})}


def _words(text: str | None) -> list[str] | None:
    """The words of a command that is given in one string."""
    try:
        return shlex.split(text) if text is not None else None
    except ValueError as error:
        raise click.UsageError(f"--resume-command {text}: {error}") from error


def _repository(given: dict[str, Any]) -> Manifest:
    use = _some(given, ref="ref", lock="lock", push="push")
    if use and given["repository"] is None:
        raise click.UsageError(f"--{next(iter(use))} says how a repository is used: name it with --repository NAME")
    return {"name": given["repository"], **use} if use or given["repository"] is not None else {}


def _some(given: dict[str, Any], **fields: str) -> Manifest:
    return {field: given[flag] for field, flag in fields.items() if given[flag] is not None}


def _pair(flag: str, text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise click.UsageError(f"{flag} {text}: write {flag} KEY=VALUE")
    return key, value


def _variable(text: str) -> Manifest:
    name, sign, value = text.partition("=")
    if sign:
        return {"name": name, "value": value}
    if name not in os.environ:
        raise click.UsageError(f"--env {name}: there is no such variable here; write --env {name}=VALUE")
    return {"name": name, "value": os.environ[name]}


def _key(text: str) -> Manifest:
    name, place = _pair("--env-key", text)
    kind, obj, key = _parts("--env-key", text, place, 3)
    reference = "secretKeyRef" if kind == "secret" else "configMapKeyRef"
    return {"name": name, "valueFrom": {reference: {"name": obj, "key": key}}}


def _callback(number: int, text: str) -> Manifest:
    place, url = _pair("--callback", text)
    kind, obj, key = _parts("--callback", text, place, 3)
    if kind != "secret":
        raise click.UsageError(f"--callback {text}: what it is signed with is in a Secret: secret/OBJECT/KEY=URL")
    return {"name": f"callback-{number}", "url": url, "secretRef": {"name": obj, "key": key}}


def _source(text: str) -> Manifest:
    prefix, sign, place = text.rpartition("=")
    kind, obj = _parts("--env-from", text, place, 2)
    source: Manifest = {"secretRef" if kind == "secret" else "configMapRef": {"name": obj}}
    return {"prefix": prefix, **source} if sign else source


def _parts(flag: str, text: str, place: str, count: int) -> Iterable[str]:
    parts = place.split("/", count - 1)
    if len(parts) != count or parts[0] not in ("secret", "configmap") or not all(parts):
        form = "secret/OBJECT/KEY or configmap/OBJECT/KEY" if count == 3 else "secret/OBJECT or configmap/OBJECT"
        raise click.UsageError(f"{flag} {text}: name {form}")
    return parts
