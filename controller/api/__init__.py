"""The kinds as pydantic models, their conditions, keys and units.

Imports nothing else of ours. What a user may declare and what Holdfast records is written here and nowhere else;
`crds/` is generated from it.
"""
