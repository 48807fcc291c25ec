"""Of several things one that fails keeps none of the others from being done (requirements 7.3, 7.5)."""

from __future__ import annotations

import pytest

from controller.errors import HoldfastError, Several, Transient, Waiting

DENIED = PermissionError(13, "Permission denied", "/a")
FULL = OSError(39, "Directory not empty", "/b")


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ((DENIED,), "[Errno 13] Permission denied: '/a'"),
        ((DENIED, FULL), "[Errno 13] Permission denied; /b: Directory not empty: '/a'"),
        ((Waiting("W", "one"),), "W: one"),
        ((Waiting("W", "one"), DENIED), "W: one; /a: Permission denied"),
        (
            (DENIED, *[Transient("T", "other")] * 7),
            "[Errno 13] Permission denied; " + "other; " * 5 + "and 2 more: '/a'",
        ),
    ],
)
def test_all_are_told_in_one(errors: tuple[HoldfastError | OSError, ...], told: str) -> None:
    """7.5: a person reads of all that failed, the first with its path; five of the others are enough."""
    several, done = Several(), 0
    for error in errors:
        with several.kept():
            done += 1
            raise error
    assert done == len(errors)
    with pytest.raises((HoldfastError, OSError)) as caught:
        several.raise_all()
    assert str(caught.value) == told


def test_nothing_to_raise() -> None:
    """Where all went well nothing is raised; a defect is not kept."""
    several = Several()
    with several.kept():
        pass
    several.raise_all()
    with pytest.raises(ZeroDivisionError), several.kept():
        raise ZeroDivisionError
