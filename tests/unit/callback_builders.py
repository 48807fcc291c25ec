"""Builders of Callbacks, answers and what was read about them; nothing here decides anything."""

from __future__ import annotations

from typing import Any

from controller.api.callback import Callback, CallbackStatus
from controller.api.callback_use import CallbackUse
from controller.decisions.answer import Answer, Meaning, meaning_of
from controller.decisions.delivery import Seen
from tests.unit.builders import START, at

SCHEDULE = ("5s", "1m", "1h")


def callback(
    recorded: CallbackStatus | None = None,
    *,
    schedule: tuple[str, ...] = SCHEDULE,
    made: float = 0,
    deleting: bool = False,
    owned: bool = True,
    name: str = "build-1",
    **spec: Any,
) -> Callback:
    """One Callback of three repeats, made at START; `owned`: its job owns it still."""
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": "c", "resourceVersion": "5", "generation": 1}
    meta |= {"creationTimestamp": at(made)} | ({"deletionTimestamp": START} if deleting else {})
    if owned:
        owner = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "name": "build", "uid": "j"}
        meta["ownerReferences"] = [owner | {"controller": True}]
    declared = {
        "job": {"name": "build", "uid": "j", "attempt": 1},
        "callback": "team",
        "event": "Succeeded",
        "id": "msg_1",
        "url": "https://hooks.example.org/x",
        "secretRef": {"name": "webhook", "key": "secret"},
        "payload": "{}",
        "schedule": schedule,
    }
    made_of = Callback.model_validate({"metadata": meta, "spec": declared | spec})
    return made_of if recorded is None else made_of.model_copy(update={"status": recorded})


def answer(code: int | None, reason: str = "Word", **more: Any) -> Answer:
    """An answer with this HTTP status, or none at all."""
    meaning = meaning_of(code) if code is not None else Meaning.FAILED
    return Answer(meaning, reason, f"{code or 'no answer'}", code, **more)


def seen(ended: Any = None, **more: Any) -> Seen:
    """What was read; the controller sends since long before START."""
    return Seen(**({"up_since": at(-1e6), "ended": ended, "ended_after": 10**6} | more))


def use(name: str = "team", **more: Any) -> CallbackUse:
    """One entry of spec.callbacks."""
    declared = {"name": name, "url": "https://hooks.example.org/x", "secretRef": {"name": "webhook", "key": "secret"}}
    return CallbackUse.model_validate(declared | more)
