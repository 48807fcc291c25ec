"""Alert rules, recording rules and the dashboard, as data; `hack/generate` writes them to charts/holdfast.

Nothing of it runs in the product. Names of metrics are checked against the registry by tests/rules.
"""
