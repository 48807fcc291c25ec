"""The kinds of our group: one table, and everything that follows from it (design 3; requirements 1.1, 9.1)."""

from __future__ import annotations

import pytest

from controller.api.keys import Key
from controller.api.kinds import MODELS
from controller.api.names import KINDS, Names
from controller.app.kinds import HANDLED
from controller.kube.kinds import SERVED
from controller.telemetry.metrics import API_KINDS
from tests.unit.builders import job


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("BatchJob", "batchjobs"),
        ("Repository", "repositories"),
        ("JobBatch", "jobbatches"),
        ("RecoveryReport", "recoveryreports"),
    ],
)
def test_names_follow_from_the_kind(kind: str, plural: str) -> None:
    """1.1: what kubectl takes for one object, for all, and for what a LIST answers."""
    names = Names(kind)
    assert (names.singular, names.plural, names.list_kind) == (kind.lower(), plural, f"{kind}List")


def test_a_kind_is_its_model() -> None:
    """Design 3: the class is the kind, an object knows its key, and each kind is handled by somebody."""
    assert [model.__name__ for model in MODELS.values()] == list(MODELS) == list(KINDS)
    assert [handled.model for handled in HANDLED] == list(MODELS.values())
    assert job("a").build().key == Key("BatchJob", "default", "a")


def test_every_kind_that_is_called_is_counted_from_zero() -> None:
    """9.1: requests are counted by kind, each of them from the start."""
    assert set(SERVED) == set(API_KINDS)
