"""The account of a start (requirement 7.1)."""

from __future__ import annotations

import pytest

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
