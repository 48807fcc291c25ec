"""`holdfast run` and `holdfast rerun`: make a BatchJob, and wait for its end where asked to."""

from __future__ import annotations

import sys
from typing import Any

import click

from controller.api.keys import API_VERSION
from controller.cli import tables, view
from controller.cli.follow import Watch, follow
from controller.cli.manifest import flags, manifest
from controller.cli.session import Failure, Session, complete_jobs, note, with_session

INTERRUPTED = 130  # 128 + SIGINT, what a shell says
OF = "holdfast.dev/rerun-of"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOT_AGAIN = ("cancel", "suspend", "decision")  # what was said about the old job, not about what to run
FORMS = click.Choice(["name", "json", "yaml"])

WAIT = click.option("--wait", is_flag=True, help="Show the output until the end and exit with the job's exit code.")
OUTPUT = click.option("-o", "--output", type=FORMS, help="Print the object in this form.")


@click.command(context_settings={"allow_interspersed_args": False})  # `run ls -l`: the flag is the command's
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@flags
@WAIT
@click.option("--dry-run", is_flag=True, help="Print the manifest and create nothing.")
@OUTPUT
@with_session
def run(
    session: Session, command: tuple[str, ...], wait: bool, dry_run: bool, output: str | None, **given: Any
) -> None:
    """Run COMMAND as a job; it goes on when this command, the shell or the controller ends.

    COMMAND is executed as it is, without a shell: for pipes and variables use `-- bash -c "..."`.

    \b
      holdfast run --wait -- make test
      holdfast run -q nightly --retry 2 --deadline 1h -w . -- ./migrate.sh
      holdfast run --repository shop --push Upstream -- ./release.sh
      holdfast run --dry-run -o yaml -e LEVEL=3 -- train > job.yaml
    """
    if wait and (dry_run or output in ("json", "yaml")):
        raise click.UsageError("--wait shows the job's output on stdout: leave out --dry-run and -o")
    body = manifest(session.namespace, command, given)
    if dry_run:
        tables.document(body, "json" if output == "json" else "yaml")
        return
    _create(session, body, wait, output)


@click.command()
@click.argument("job", shell_complete=complete_jobs)
@click.option("--name", metavar="NAME", help="Name of the new job; default: the old one's with a random ending.")
@WAIT
@click.option("--dry-run", is_flag=True, help="Print the manifest and create nothing.")
@OUTPUT
@with_session
def rerun(session: Session, job: str, name: str | None, wait: bool, dry_run: bool, output: str | None) -> None:
    """Make a new job from JOB, which has ended: same command and settings, its own attempts and output."""
    if wait and (dry_run or output in ("json", "yaml")):
        raise click.UsageError("--wait shows the job's output on stdout: leave out --dry-run and -o")
    old = session.cluster.get("BatchJob", job)
    if not view.ended(old):
        raise Failure(f"{job} has not ended: it is {view.why(old)}; wait for it, or `holdfast cancel {job}` first")
    body = again(old, name)
    if dry_run:
        tables.document(body, "json" if output == "json" else "yaml")
        return
    _create(session, body, wait, output)


def again(old: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The manifest of a job that does once more what `old` was declared to do.

    Args:
        name: of the new job; None: the API server makes one from the old one's.
    """
    metadata = old["metadata"]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    generate = metadata.get("generateName") or f"{metadata['name']}-"
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchJob",
        "metadata": {
            **({"name": name} if name else {"generateName": generate}),
            "namespace": metadata["namespace"],
            **({"labels": metadata["labels"]} if metadata.get("labels") else {}),
            "annotations": {**annotations, OF: metadata["name"]},
        },
        "spec": {key: value for key, value in old["spec"].items() if key not in NOT_AGAIN},
    }


def _create(session: Session, body: dict[str, Any], wait: bool, output: str | None) -> None:
    job = session.cluster.create("BatchJob", body)
    said = f"batchjob.holdfast.dev/{view.name(job)}"
    if wait:
        note(f"{said} created")
        raise SystemExit(_wait(session, job))
    match output:
        case "json" | "yaml":
            tables.document(job, output)
        case "name":
            click.echo(said)
        case _:
            click.echo(f"{said} created")


def _wait(session: Session, job: dict[str, Any]) -> int:
    """Show the output until the end; the exit code that this command ends with."""
    name = view.name(job)
    watch = Watch(session, name, view.uid(job), job)
    out = sys.stdout.buffer

    def sink(data: bytes) -> None:
        out.write(data)
        out.flush()

    try:
        follow(watch, sink, first=1)
    except KeyboardInterrupt:
        note(f"{name} goes on: `holdfast logs -f {name}` shows it, `holdfast cancel {name}` ends it")
        return INTERRUPTED
    if watch.deleted or watch.job is None:
        raise Failure(f"{name} was deleted before it ended")
    code = view.exit_code(watch.job)
    if view.phase(watch.job) != "Succeeded":
        message = (view.condition(watch.job, "Failed") or {}).get("message") or f"exit code {code}"
        note(f"{name} {view.why(watch.job)}: {message}")
    return code
