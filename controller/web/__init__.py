"""The HTTP surface of the controller: /healthz, /readyz, /metrics and the read-only queue API."""
