"""From models to CustomResourceDefinitions: the parts that pydantic has no words for.

The generator itself is in `controller.api.schema`.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """One CEL validation: `x-kubernetes-validations`.

    Args:
        rule: CEL expression that has to be true; a rule that names oldSelf is a transition rule.
        message: what a person reads; names the field and the way out.
        field: field below the rule's own place that the error is reported for, without the leading dot; "" for none.
        reason: FieldValueInvalid, FieldValueForbidden, FieldValueRequired or FieldValueDuplicate.
    """

    rule: str
    message: str
    field: str = ""
    reason: str = "FieldValueInvalid"


class Column(NamedTuple):
    """One additionalPrinterColumn; `priority` 1 shows only with `-o wide`."""

    name: str
    type: str
    path: str
    priority: int = 0
