"""`holdfast logs`: the output of a job, read from its run directory (requirement 3.2)."""

from __future__ import annotations

import sys
from typing import IO

import click

from controller.cli import runs, view
from controller.cli.follow import Watch, describe_wait, elsewhere, follow
from controller.cli.podlogs import PodOutput
from controller.cli.session import Failure, Session, complete_jobs, note, with_session
from controller.cli.tail import Tail, last_lines, size
from controller.errors import HoldfastError, Terminal
from controller.kube.errors import Forbidden, NotFound


@click.command()
@click.argument("job", shell_complete=complete_jobs)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job has ended, over further attempts.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines.")
@click.option("--since-offset", type=click.IntRange(min=0), metavar="N", help="Begin N bytes into the output.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Attempt N only; default: the newest.")
@with_session
def logs(
    session: Session, job: str, following: bool, tail: int | None, since_offset: int | None, attempt: int | None
) -> None:
    """Show the output of JOB, also of one that has ended, and while the controller or the API server is down.

    \b
      holdfast logs -f build-x7k2p
      holdfast logs --tail 20 build-x7k2p
    """
    if tail is not None and since_offset is not None:
        raise click.UsageError("--tail and --since-offset exclude each other")
    watch = look(session, job)
    number = attempt or watch.newest()
    run = watch.run(number) if number else None
    if not following and (number is None or run is None):
        raise Failure(_nothing(watch, job, number))
    offset = since_offset or 0
    if tail is not None and run is not None:
        offset = last_lines(run.output, tail)
    out = sys.stdout.buffer
    if not following:
        assert run is not None
        _print(run, offset, out)
        _say_lacking(run)
        return
    if number is None and not watch.ended and watch.job is not None:
        note(f"{job} is {describe_wait(watch.job)}; its output follows when it starts")

    def sink(data: bytes) -> None:
        out.write(data)
        out.flush()

    follow(watch, sink, number, offset, only=attempt is not None)
    _say_lacking(watch.run(attempt or watch.newest() or 0))
    if watch.deleted:
        note(f"{job} was deleted")


def look(session: Session, name: str) -> Watch:
    """The job as the API server knows it, or as its run directories do where that one cannot be asked.

    Raises:
        HoldfastError: why the API server could not be asked, where no run directory speaks of the job either.
    """
    try:
        job = session.cluster.get("BatchJob", name)
        return Watch(session, name, view.uid(job), job)
    except (NotFound, Forbidden) as error:
        return _by_name(session, name, error)
    except HoldfastError as error:
        if isinstance(error, Terminal) and error.reason not in ("NoKubeconfig", "BadKubeconfig"):
            raise
        return _by_name(session, name, error)


def _by_name(session: Session, name: str, error: HoldfastError) -> Watch:
    found = runs.of_name(session.namespace, name)
    if not found:
        raise error
    note(f"{error.message}; showing what its run directory holds")
    watch = Watch(session, name, found[-1].uid, None)
    watch.deleted = isinstance(error, NotFound)
    return watch


def _nothing(watch: Watch, name: str, number: int | None) -> str:
    if watch.job is None:
        return f"{name} has no attempt {number} on this host; see `holdfast describe {name}`"
    if number is None:
        return f"{name} has no output yet: it is {describe_wait(watch.job)}; -f waits for it"
    newest = watch.newest() or 0
    if number > newest:
        return f"{name} has no attempt {number}: its newest is {newest}"
    return elsewhere(watch.job, number)


def _say_lacking(run: runs.Run | PodOutput | None) -> None:
    if isinstance(run, PodOutput) and run.lacking:
        note(f"the output that was kept cannot be read from here: {run.lacking}")


def _print(run: runs.Run | PodOutput, offset: int, out: IO[bytes]) -> None:
    """What is there now; what is written meanwhile is left for another call, so that it ends."""
    try:
        end = size(run.output)
        reader = Tail(run.output, min(offset, end))
        while reader.offset < end and (data := reader.read()):
            out.write(data)
    except OSError as error:
        raise Failure(f"{run.output} cannot be read: {error.strerror}") from error
    out.flush()
