"""Attempts as host processes under a supervisor that outlives the controller.

`supervisor`, `identity` and `rundir` use only the standard library: they run as `python -I -S`, one per attempt.
The run directory is the only contract with a running job.
"""
