"""What a person is asked, in one sentence with the exact commands (requirement 7.7)."""

from __future__ import annotations

from controller.api.batchjob import BatchJob, DecisionAction

# What each answer does; the CLI and the condition say the same.
ANSWERS: dict[DecisionAction, str] = {
    DecisionAction.RESTART: "one more attempt, in a clean workspace",
    DecisionAction.FAIL: "the job ends; its workspace is kept for a day",
    DecisionAction.CLEANUP: "the job ends and nothing of it is kept but its record and output",
}
ENDS_JOB = frozenset({DecisionAction.FAIL, DecisionAction.CLEANUP})


def ask(job: BatchJob, number: int, text: str) -> str:
    """The message of the condition NeedsDecision.

    Args:
        number: of the attempt that it is about.
        text: what happened, without a full stop.
    """
    name, namespace = job.metadata.name, job.metadata.namespace
    command = f"holdfast decide -n {namespace} {name}"
    choices = "; ".join(f"`{command} {action.value.lower()}` ({what})" for action, what in ANSWERS.items())
    patch = f"{{spec: {{decision: {{attempt: {number}, action: Restart}}}}}}"
    kubectl = f"kubectl patch batchjob {name} -n {namespace} --type merge -p '{patch}'"
    return f"{text}. Decide: {choices}. Or set spec.decision yourself, with Restart, Fail or Cleanup: {kubectl}"
