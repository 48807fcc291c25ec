"""Puts together what sends callbacks: the guard of the settings, one transport, one sender, the reconciler."""

from __future__ import annotations

import ssl

from controller.delivery.guard import Guard
from controller.delivery.sender import Sender
from controller.delivery.transport import GuardedTransport
from controller.errors import Terminal
from controller.reconcile.callback_book import CallbackBook
from controller.reconcile.callbacks import CallbackReconciler
from controller.reconcile.parts import Parts
from controller.settings import Settings
from controller.telemetry.callback_metrics import CallbackMetrics


def callback_side(
    parts: Parts,
    book: CallbackBook,
    metrics: CallbackMetrics,
    settings: Settings,
    version: str,
    tls: ssl.SSLContext,
) -> tuple[CallbackReconciler, Sender]:
    """The reconciler, and the sender, which is to be closed after it has landed.

    Raises:
        Terminal: a setting about callbacks cannot be read.
    """
    try:
        guard = Guard.of(settings.callback_allow_cidrs, settings.callback_allow_hosts, settings.callback_ports)
    except ValueError as error:
        raise Terminal("BadSetting", f"HOLDFAST_CALLBACK_…: {error}; `holdfast settings` explains them") from error
    proxy = settings.callback_proxy.get_secret_value() if settings.callback_proxy is not None else None
    sender = Sender(guard, GuardedTransport(guard, tls=tls, proxy=proxy), version, parts.now)
    per_host, total = settings.callback_per_host, settings.callback_total
    return CallbackReconciler(parts, book, sender, metrics, per_host=per_host, total=total), sender
