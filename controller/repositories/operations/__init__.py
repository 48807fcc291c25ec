"""The operations on mirrors and workspaces: programs that an executor runs, each in an attempt of its own.

Standard library only, started with `python -I -S run.py <order>`. A kill at any instant leaves nothing half-made
in use.
"""
