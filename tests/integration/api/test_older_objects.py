"""Objects as earlier versions stored them: the CRDs of this version take them whole (issue 7.7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.kinds import DECLARED

STORED: dict[str, dict[str, Any]] = {
    f"{path.stem}-{stored['kind']}": stored
    for path in sorted((Path(__file__).parent / "older").glob("*.yaml"))
    for stored in yaml.safe_load_all(path.read_text())
}


@pytest.mark.parametrize("stored", STORED.values(), ids=list(STORED))
def test_an_older_object_is_kept_whole_and_understood(objects: Any, stored: dict[str, Any]) -> None:
    """7.7: no field of it is refused or dropped, spec and status, and this version's model reads it."""
    model = DECLARED[stored["kind"]]
    plural, name = model.names.plural, stored["metadata"]["name"]
    objects.create(plural, {key: value for key, value in stored.items() if key != "status"})
    objects.patch_status(plural, name, stored["status"])
    found = objects.get(plural, name)
    assert found["status"] == stored["status"]
    assert contains(found["spec"], stored["spec"]), "later versions may add defaults, and take nothing away"
    model.model_validate(found)


def contains(found: Any, wanted: Any) -> bool:
    """Whether all of `wanted` is in `found`, which may have more fields."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and contains(found[name], value) for name, value in wanted.items()
        )
    return bool(found == wanted)


def test_every_kind_has_one() -> None:
    """7.7: a kind is not forgotten."""
    assert {stored["kind"] for stored in STORED.values()} == set(DECLARED)
