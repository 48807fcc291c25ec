"""The account of a start (requirement 7.1)."""

from __future__ import annotations

import pytest

from controller.api.batchjob import BatchJob
from controller.decisions.recommendations import Findings, recommended
from controller.reconcile.account import NAMES, RecoveryAccount


def test_counts_are_complete_and_names_are_few() -> None:
    """7.1, issue 6: counts, and the first 20 names of each."""
    account, told = RecoveryAccount(), []
    account.on_change(lambda: told.append(1))
    for number in range(50):
        account.note("reattached", f"a/{number}")
    account.note("orphaned:process", "x.1")
    account.note("orphaned:workspace", "y.1")
    account.reclaimed(memory_bytes=5)
    account.reclaimed(memory_bytes=2, disk_bytes=1)
    assert account.count("reattached") == 50
    assert account.tallies["reattached"].names == [f"a/{number}" for number in range(NAMES)]
    assert account.count("orphaned") == 2 and account.count("lost") == 0
    assert (account.memory_bytes, account.disk_bytes) == (7, 1)
    assert len(told) == 54


def test_an_unknown_outcome_is_a_defect() -> None:
    """Style: loud, so that no count goes lost."""
    with pytest.raises(ValueError, match="vanished"):
        RecoveryAccount().note("vanished", "a/b")


def suspended(name: str, reason: str) -> BatchJob:
    meta = {"name": name, "namespace": "a", "uid": f"uid-{name}"}
    status = {"phase": "Suspended", "reason": reason}
    return BatchJob.model_validate({"metadata": meta, "spec": {"command": ["x"]}, "status": status})


def test_restored_jobs_are_named_whenever_they_come() -> None:
    """7.10: each once, also after the start is over, as a restore may run at any time; a person's own are not."""
    account = RecoveryAccount()
    account.restored(suspended("one", "Restored"))
    account.close()
    account.note("lost", "a/late")
    for name in ("one", "two"):
        account.restored(suspended(name, "Restored"))
    account.restored(suspended("three", ""))
    assert account.tallies["restored"].names == ["a/one", "a/two"] and account.count("lost") == 0


def test_restored_jobs_come_with_the_command_that_lets_them_go_on() -> None:
    """7.10, 7.7: how many, who, and what to do."""
    (action,) = recommended(Findings(restored=([f"a/{number}" for number in range(7)], 60)))
    assert action.message.startswith("60 jobs came back suspended from an archive (a/0, a/1, a/2, a/3, a/4, …)")
    assert action.command == "holdfast resume --restored --all-namespaces"
    assert recommended(Findings()) == ()
