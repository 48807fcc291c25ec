"""What operators see: metrics, structured logs, health.

Reads no cluster state of its own; the parts that know something tell it here.
"""
