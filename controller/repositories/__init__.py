"""Git repositories on a host: mirrors, fences, workspaces, prepared checkouts, and the operations that make them.

Top level is used by the controller and only reads or writes small files; git runs in `operations`, as attempts.
"""
