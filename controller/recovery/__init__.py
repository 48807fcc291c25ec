"""The first pass after a start: binding to one cluster, the admission gate, orphans.

Recovery is the daily loop resuming; what lives here accounts for it and holds it back where evidence is missing.
"""
