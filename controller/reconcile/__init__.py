"""The loop: keyed work queue, workers, and one reconciler per kind that observes, records and acts.

Decisions are made in `decisions`, never here.
"""
