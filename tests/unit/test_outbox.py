"""Which deliveries follow from a job's events, and the Callbacks of them (6.1, 6.2)."""

from __future__ import annotations

import json
import re

import pytest

from controller.api.batchjob_status import AttemptState, Phase
from controller.api.callback import Callback, CallbackSpec
from controller.api.callback_use import (
    DEFAULT_SCHEDULE,
    MAX_DELIVERIES,
    CallbackEvent,
    CallbackUse,
    DeliveryRecord,
    DeliveryState,
)
from controller.api.schema import custom_resource_definition, openapi
from controller.decisions.outbox import (
    callback_name,
    callback_spec,
    deliveries_of,
    delivery_id,
    pending,
    previous_of,
    settled,
    with_deliveries,
)
from controller.delivery.payload import payload_of, schema
from tests.unit.builders import START, job
from tests.unit.callback_builders import use

ENDS = [CallbackEvent.SUCCEEDED, CallbackEvent.FAILED, CallbackEvent.CANCELED]


def records(*events: CallbackEvent, name: str = "team") -> tuple[DeliveryRecord, ...]:
    """One delivery for each event."""
    found: tuple[DeliveryRecord, ...] = ()
    for number, event in enumerate(events):
        found = with_deliveries(found, deliveries_of([use(name, events=list(CallbackEvent))], "u", number, event))
    return found


def test_an_id_is_its_own_and_always_the_same() -> None:
    """6.1: made twice is made once; no dot, which would be ambiguous in what is signed."""
    ids = {
        delivery_id(uid, attempt, name, event)
        for uid in ("u", "v")
        for attempt in (1, 2, 11)
        for name in ("a", "b")
        for event in CallbackEvent
    }
    assert len(ids) == 2 * 3 * 2 * 6
    assert delivery_id("u", 1, "a", CallbackEvent.FAILED) == delivery_id("u", 1, "a", CallbackEvent.FAILED)
    assert all(re.fullmatch("msg_[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize("name", ["a", "a" * 253, "x." * 120 + "y", "a" * 235 + ".b", "a" * 234 + "-.b"])
def test_a_name_fits_and_is_valid(name: str) -> None:
    """6.1: a DNS subdomain, whatever the job is called."""
    made = callback_name(name, delivery_id("u", 1, "a", CallbackEvent.FAILED))
    assert len(made) <= 253 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", made)


def test_only_what_is_asked_for_is_told() -> None:
    """6.1: by default the ends of a job."""
    for event in CallbackEvent:
        assert bool(deliveries_of([use()], "u", 1, event)) is (event in ENDS) is event.end
    both = deliveries_of(
        [use("a", events=["Started"]), use("b", events=["Started", "Failed"])], "u", 3, CallbackEvent.STARTED
    )
    assert [(each.name, each.attempt, each.state) for each in both] == [
        ("a", 3, DeliveryState.PENDING),
        ("b", 3, DeliveryState.PENDING),
    ]


def test_entries_are_added_once_and_settled_by_id() -> None:
    """6.1: deciding again on the same status adds nothing."""
    found = records(CallbackEvent.STARTED, CallbackEvent.SUCCEEDED)
    assert with_deliveries(found, deliveries_of([use(events=["Started"])], "u", 0, CallbackEvent.STARTED)) == found
    done = settled(found, found[0].id, DeliveryState.DELIVERED)
    assert [each.state for each in done] == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    assert pending(done) == [found[1]]
    assert settled(found, "msg_other", DeliveryState.FAILED) == found


def test_a_full_list_keeps_the_ends() -> None:
    """6.1: what is over goes first, then progress."""
    old = records(*[CallbackEvent.RETRYING] * MAX_DELIVERIES)
    old = settled(old, old[7].id, DeliveryState.DELIVERED)
    end = deliveries_of([use(), use("other")], "u", 99, CallbackEvent.FAILED)
    full = with_deliveries(old, end)
    assert len(full) == MAX_DELIVERIES and list(full[-2:]) == end
    assert old[7] not in full and old[0] not in full and old[1] in full


def test_one_goes_after_the_other_for_each_receiver() -> None:
    """Order per job: Started before Succeeded, receivers apart."""
    found = with_deliveries(
        records(CallbackEvent.STARTED, CallbackEvent.RETRYING), records(CallbackEvent.STARTED, name="x")
    )
    assert previous_of(found, found[0].id, "build") == ""
    assert previous_of(found, found[1].id, "build") == callback_name("build", found[0].id)
    assert previous_of(found, found[2].id, "build") == ""


def test_the_callback_freezes_what_is_declared() -> None:
    """6.1: payload, schedule and limits are those of the moment."""
    one = job("build").uid("u").build()
    wanted = use(headersRef={"name": "more"}, timeout={"total": "5s"})
    (record,) = deliveries_of([wanted], "u", 2, CallbackEvent.FAILED)
    spec = callback_spec(one, wanted, record, "{}", "earlier")
    assert CallbackSpec.model_validate(spec.to_json()) == spec
    assert (spec.id, spec.job.attempt, spec.previous, spec.schedule) == (record.id, 2, "earlier", DEFAULT_SCHEDULE)
    assert spec.timeout.total == "5s" and spec.headers_ref is not None and spec.headers_ref.name == "more"
    assert callback_spec(one, use(schedule=[]), record, "{}", "").schedule == ()


def test_the_payload_says_what_happened() -> None:
    """6.2: enough to act on, and nothing of what the job was told in secret."""
    one = job("build").uid("u").over(AttemptState.FAILED).finished(Phase.FAILED).build()
    (record,) = deliveries_of([use()], "u", 1, CallbackEvent.FAILED)
    body = json.loads(payload_of(one, record, START))
    assert body["type"] == "batchjob.failed" and body["data"]["callback"] == "team"
    assert body["data"]["job"] == {
        "name": "build",
        "namespace": "default",
        "uid": "u",
        "queue": "default",
        "labels": {},
    }
    assert body["data"]["attempt"]["number"] == 1
    started = json.loads(payload_of(one, record.model_copy(update={"event": CallbackEvent.STARTED}), START))
    assert "exitCode" not in started["data"]["attempt"] and started["type"] == "batchjob.started"
    never = json.loads(payload_of(job("build").build(), record.model_copy(update={"attempt": 0}), START))
    assert "attempt" not in never["data"]


def test_a_payload_with_many_labels_stays_within_the_bound() -> None:
    """6.2: spec.payload has a limit that the API server enforces."""
    one = job("build").build()
    labels = {f"{'k' * 200}/{number:060}": "v" * 63 for number in range(300)}
    one = one.model_copy(update={"metadata": one.metadata.model_copy(update={"labels": labels})})
    (record,) = deliveries_of([use()], "u", 1, CallbackEvent.FAILED)
    text = payload_of(one, record, START)
    assert len(text) < 32768 and len(json.loads(text)["data"]["job"]["labels"]) > 10


def test_the_published_schema_is_of_the_payload() -> None:
    """6.2: what is always there is required; nothing is ever null."""
    made = json.loads(schema())
    assert made["required"] == ["type", "timestamp", "data"] and '"null"' not in schema()
    assert set(made["$defs"]["PayloadAttempt"]["properties"]) >= {"number", "exitCode", "startedAt"}
    assert made["$defs"]["PayloadAttempt"]["required"] == ["number"]


def test_the_kinds_have_schemas() -> None:
    """1.2: bounds and descriptions everywhere; the generator refuses anything else."""
    definition = custom_resource_definition(Callback)
    assert definition["spec"]["names"]["shortNames"] == ["cb"]
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    frozen = {rule["fieldPath"] for rule in spec["x-kubernetes-validations"]}
    assert frozen == {f".{name}" for name in spec["properties"]}, "every field is immutable, or only grows"
    for model in (CallbackUse, DeliveryRecord):
        assert model.model_json_schema()
    assert openapi(Callback)
