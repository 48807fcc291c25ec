"""Attempts as `batch/v1` Jobs of the cluster: Kubernetes schedules, runs and ends them (requirement 4).

`names` says what they are called, `manifest` how they are declared, `views` what is read of them, `reading` what that
proves; `output` keeps what they print. Nothing here talks to the API server but through `cluster`.
"""
