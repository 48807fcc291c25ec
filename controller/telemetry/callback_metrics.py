"""The metrics of callbacks (requirements 6.3, 9.1)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered

EVENTS = ("Started", "Waiting", "Retrying", "Succeeded", "Failed", "Canceled")
MEANINGS = ("Delivered", "Gone", "Busy", "Refused", "Failed", "Unsent")
PHASES = ("Delivered", "Failed")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
LATENCY = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 72 * 3600)


class CallbackMetrics(Registered):
    """Attributes are prometheus-client objects with the labels named here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.tries = self._counter(
            "holdfast_callback_tries_total", "Tries that were recorded, by what came of them.", ("result",), MEANINGS
        )
        self.ended = self._counter(
            "holdfast_callbacks_ended_total",
            "Callbacks that were delivered or given up.",
            ("event", "result"),
            [(event, phase) for event in EVENTS for phase in PHASES],
        )
        self.blocked = self._counter(
            "holdfast_callback_blocked_total", "Tries that could not be made: a Secret is missing or not usable."
        )
        self.dropped = self._counter(
            "holdfast_callbacks_dropped_total", "Callbacks that were deleted before they were delivered or given up."
        )
        self.try_seconds = self._histogram("holdfast_callback_try_duration_seconds", "Run time of tries.", SECONDS)
        self.latency_seconds = self._histogram(
            "holdfast_callback_latency_seconds", "From the Callback's creation to its delivery.", LATENCY
        )
        self.in_flight = self._gauge("holdfast_callbacks_in_flight", "Tries that are being made.")
        self.waiting = self._gauge("holdfast_callbacks_waiting", "Due, and waiting for room at their host.")
        self.open_circuits = self._gauge(
            "holdfast_callback_open_circuits", "Hosts that failed time after time and get one try at a time."
        )
        self.phases = self._gauge(
            "holdfast_callbacks", "Callbacks there are.", ("phase",), ("Pending", "Delivering", *PHASES)
        )
