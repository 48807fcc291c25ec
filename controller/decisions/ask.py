"""What a person is asked, in one sentence with the exact commands (requirement 7.7)."""

from __future__ import annotations

from collections.abc import Collection

from controller.api.batchjob import BatchJob, DecisionAction

# What each answer does; the CLI and the condition say the same.
ANSWERS: dict[DecisionAction, str] = {
    DecisionAction.RESUME: "one more attempt, which goes on in its workspace and with its checkpoints",
    DecisionAction.RESTART: "one more attempt, in a clean workspace",
    DecisionAction.FAIL: "the job ends; its workspace is kept for a day",
    DecisionAction.CLEANUP: "the job ends and nothing of it is kept but its record and output",
}
# Where nothing proves that the attempt is over: two must never work in one workspace, so none goes on in it.
UNPROVED = tuple(action for action in ANSWERS if action is not DecisionAction.RESUME)
ENDS_JOB = frozenset({DecisionAction.FAIL, DecisionAction.CLEANUP})


def ask(job: BatchJob, number: int, text: str, answers: Collection[DecisionAction] = tuple(ANSWERS)) -> str:
    """The message of the condition NeedsDecision.

    Args:
        number: of the attempt that it is about.
        text: what happened, without a full stop.
        answers: the possible ones.
    """
    name, namespace = job.metadata.name, job.metadata.namespace
    command = f"holdfast decide -n {namespace} {name}"
    told = ((action.value.lower(), what) for action, what in ANSWERS.items() if action in answers)
    choices = "; ".join(f"`{command} {word}` ({what})" for word, what in told)
    patch = f"{{spec: {{decision: {{attempt: {number}, action: Restart}}}}}}"
    kubectl = f"kubectl patch batchjob {name} -n {namespace} --type merge -p '{patch}'"
    *some, last = [action.value for action in ANSWERS if action in answers]
    words = f"{', '.join(some)} or {last}"
    return f"{text}. Decide: {choices}. Or set spec.decision yourself, with {words}: {kubectl}"
