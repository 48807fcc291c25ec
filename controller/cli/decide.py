"""`holdfast decide`: a person's answer to jobs that ask for one (requirements 3.5, 7.7).

An answer is for the attempt that was seen to ask, and for the version of the job that was seen: one that changed
meanwhile is looked at again, so neither a repeated command nor a race answers a newer question.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from controller.cli import view
from controller.cli.session import Failure, Session, complete_jobs, note, with_session
from controller.errors import HoldfastError
from controller.kube.errors import Conflict

Object = dict[str, Any]

ACTIONS = {"resume": "Resume", "restart": "Restart", "fail": "Fail", "cleanup": "Cleanup"}
NO_EVIDENCE = "NoEvidence"  # reason of a question about an attempt of which nothing is proved
TRIES = 5


def complete_words(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: jobs, then an answer."""
    actions = [action for action in ACTIONS if action.startswith(incomplete.lower())]
    return complete_jobs(context, parameter, incomplete) + actions


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[JOB...] ACTION", shell_complete=complete_words)
@click.option("-l", "--selector", metavar="LABELS", help="All jobs with these labels that ask, such as app=x.")
@click.option("--all-waiting", is_flag=True, help="All jobs of the namespace that ask.")
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="Attempt that it answers for; default: the one that asks.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be answered.")
@with_session
def decide(
    session: Session,
    words: tuple[str, ...],
    selector: str | None,
    all_waiting: bool,
    attempt: int | None,
    dry_run: bool,
) -> None:
    """Answer for jobs that wait for a person. ACTION is one of

    \b
      resume    one more attempt, which goes on in its workspace and with its checkpoints
      restart   one more attempt, in a clean workspace
      fail      the job ends; its workspace is kept for a day
      cleanup   the job ends and nothing of it is kept but its record and output

    \b
      kubectl get bj                      # PHASE Waiting
      holdfast describe build-x7k2p       # what happened
      holdfast decide build-x7k2p restart
      holdfast decide -l app=index resume
      holdfast decide --all-waiting restart --dry-run
    """
    names, action = words[:-1], _action(words[-1])
    bulk = selector is not None or all_waiting
    if bulk == bool(names):
        raise click.UsageError("give the names of jobs, or -l or --all-waiting")
    if attempt is not None and len(names) != 1:
        raise click.UsageError("--attempt is about one job: give its name")
    found = _asking(session, selector) if bulk else ((name, None) for name in names)
    _summary(*_each(session, found, action, attempt, dry_run), bulk=bulk, dry_run=dry_run)


def _action(word: str) -> str:
    action = ACTIONS.get(word.lower())
    if action is None:
        raise click.UsageError(f"the last word is the answer: {word!r} is none of {', '.join(ACTIONS)}")
    return action


def _asking(session: Session, selector: str | None) -> Iterator[tuple[str, Object | None]]:
    for job in session.cluster.list("BatchJob", labels=selector):
        if not view.ended(job) and view.condition(job, "NeedsDecision") is not None:
            yield view.name(job), job


def _each(
    session: Session, found: Iterator[tuple[str, Object | None]], action: str, attempt: int | None, dry_run: bool
) -> tuple[int, list[str]]:
    """Answer for each that can be answered for; how many, and what was wrong with the others."""
    answered, problems = 0, []
    for name, seen in found:
        try:
            number = answer(session, name, seen, action, attempt, dry_run=dry_run)
        except (HoldfastError, Failure) as error:
            problems.append(error.message)
            continue
        answered += 1
        click.echo(f"batchjob.holdfast.dev/{name} attempt {number}: {action}{' (dry run)' if dry_run else ''}")
    return answered, problems


def answer(session: Session, name: str, seen: Object | None, action: str, attempt: int | None, *, dry_run: bool) -> int:
    """The number of the attempt that was answered for. One that asks about a newer attempt by now is not answered."""
    job = seen or session.cluster.get("BatchJob", name)
    number = _question(job, action, attempt)
    for left in reversed(range(TRIES)):
        if dry_run:
            return number
        version = job["metadata"]["resourceVersion"]
        change = {"metadata": {"resourceVersion": version}, "spec": {"decision": {"attempt": number, "action": action}}}
        try:
            session.cluster.patch("BatchJob", name, change)
            return number
        except Conflict:
            if not left:
                raise
            job = session.cluster.get("BatchJob", name)
            _question(job, action, number)
    return number


def _question(job: Object, action: str, wanted: int | None) -> int:
    """Number of the attempt that needs the decision; an answer for any other one would never be carried out."""
    name = view.name(job)
    if view.ended(job):
        raise Failure(f"{name} has ended ({view.why(job)}): use `holdfast rerun {name}`")
    newest = int((view.attempt(job) or {}).get("number") or 0)
    if wanted is not None and wanted != newest:
        raise Failure(f"{name} asks nothing about attempt {wanted}: its newest attempt is {newest or 'not made yet'}")
    if (asked := view.condition(job, "NeedsDecision")) is None:
        raise Failure(f"{name} does not ask for a decision: it is {view.why(job)}; see `holdfast describe {name}`")
    if action == ACTIONS["resume"] and asked.get("reason") == NO_EVIDENCE:
        text = f"nothing proves that attempt {newest} of {name} is over, and two must not work in one workspace"
        raise Failure(f"{text}: if you know that it is, use restart, fail or cleanup")
    return newest


def _summary(answered: int, problems: list[str], *, bulk: bool, dry_run: bool) -> None:
    if bulk:
        done = "would be answered" if dry_run else "answered"
        click.echo(f"{answered} {'job' if answered == 1 else 'jobs'} {done}, {len(problems)} could not be")
    for problem in problems[:-1]:
        note(problem)
    if problems:
        raise Failure(problems[-1])
