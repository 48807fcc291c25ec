"""Callbacks over HTTP: payload, signature, address guard, sender, and the limits per host (design 8; requirement 6).

Knows no Kubernetes object but its own models: it is given a URL, a text and secrets, and answers with what happened.
"""
