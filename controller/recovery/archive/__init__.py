"""The archive of a Snapshot: one zstandard-compressed tar file, its manifest first, one part of JSON lines per kind.

Written to any address of fsspec in one step, read only after every checksum in it was compared.
"""
