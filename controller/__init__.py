"""Holdfast: a Kubernetes operator that runs long batch and agent jobs and never loses one.

Only sub-packages live here, in the layers that `controller/README.md` draws; importing this package imports nothing.
"""
