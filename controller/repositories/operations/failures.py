"""Why an operation did not do its work, told from what git printed in the C locale. Standard library only.

git's exit codes tell next to nothing; its messages are the only source. A message that no row knows is GitFailed, with
git's own last words.
"""

from __future__ import annotations

import re

from controller.repositories.operations.outcome import Outcome
from controller.repositories.results import Reason


class Failed(Exception):
    """The operation ends with this outcome."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.outcome = Outcome(reason, message)

    @property
    def reason(self) -> Reason:
        """Why."""
        return self.outcome.reason


_NEXT_TO_NOTHING = 16 * 1024**2

# The first row that fits decides: the causes stand before what git says about their consequences.
_ROWS: tuple[tuple[Reason, str, str], ...] = (
    (
        Reason.DISK_FULL,
        r"No space left on device|Disk quota exceeded|ENOSPC",
        "no space left on the state directory's file system: free some, the operation is repeated",
    ),
    (
        Reason.URL_REFUSED,
        r"transport '.*' not allowed|strange (hostname|pathname|port)|is not a valid remote",
        "git refuses the URL or its protocol",
    ),
    (
        Reason.HOST_KEY_CHANGED,
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No .* host key is known",
        "the remote's host key is not the one in knownHosts of the Secret: compare it with the remote's owner, then "
        "correct the Secret",
    ),
    (
        Reason.AUTHENTICATION_FAILED,
        r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied \("
        r"|The requested URL returned error: 40[13]|HTTP 40[13]|Invalid username or|Load key .*: |invalid credentials",
        "the remote does not accept the credentials: look at the Secret that spec.credentialsRef names",
    ),
    (
        Reason.UNSUPPORTED_OBJECT_FORMAT,
        r"mismatched algorithms|unknown (object|hash)[ -]?(format|algorithm)|unsupported (object|hash)[ -]format"
        r"|unknown repository extension",
        "this git does not understand the repository's object format",
    ),
    (
        Reason.NON_FAST_FORWARD,
        r"\[rejected\]|non-fast-forward|fetch first",
        "the remote's branch has commits that this one does not contain: nothing was forced",
    ),
    (
        Reason.REMOTE_UNREACHABLE,
        r"\[remote rejected\].*\((failed to|cannot|unable|unpacker|internal|Internal)",
        "the remote had trouble of its own with the push",
    ),
    (Reason.REMOTE_REJECTED, r"\[remote rejected\]|pre-receive hook declined", "the remote refused the push"),
    (
        Reason.REPOSITORY_NOT_FOUND,
        r"[Rr]epository .*not found|does not appear to be a git repository|does not exist"
        r"|The requested URL returned error: 404|not valid: is this a git repository",
        "there is no such repository at the remote, or the credentials do not show it",
    ),
    (
        Reason.REF_NOT_FOUND,
        r"couldn't find remote ref|unknown revision|bad revision|not a valid (object name|ref)"
        r"|[Nn]ot a tree object|reference is not a tree|bad object [0-9a-f]{40}",
        "there is no such ref or commit",
    ),
    (
        Reason.REMOTE_UNREACHABLE,
        r"Could not resolve host|Failed to connect|Connection (refused|timed out|reset|closed)|Network is unreachable"
        r"|No route to host|Operation too slow|unable to access|early EOF|hung up|expected flush|RPC failed"
        r"|Could not read from remote repository|kex_exchange_identification|SSL certificate|timed out"
        r"|unexpected disconnect|Empty reply|invalid (server|index-pack) (response|output)",
        "the remote does not answer as it should",
    ),
    (
        Reason.CORRUPT,
        r"is corrupt|corrupt (loose )?object|unable to read (tree|[0-9a-f]{40})|missing (blob|tree|commit)|pack .*bad"
        r"|inflate|invalid sha1 pointer|did not receive expected object|bad tree|error in object|broken link"
        r"|bad (pack|index) file|not a git repository|packfile .* (cannot|does not)",
        "the mirror is damaged: it is verified, and made anew where needed",
    ),
    (
        Reason.BUSY,
        r"Unable to create '.*\.lock': File exists|cannot lock ref",
        "another process works on the same refs of the mirror",
    ),
)


def failure_of(stderr: str, what: str, free_bytes: int | None = None) -> Failed:
    """The failure that git's error output tells.

    Args:
        stderr: all or the end of it, C locale.
        what: the git command, for the message.
        free_bytes: on the file system when it failed: git does not always say why it could not write a file.
    """
    for reason, pattern, message in _ROWS:
        found = re.search(pattern, stderr)
        if found is not None:
            return Failed(reason, f"{message} ({_line_of(stderr, found.start())})")
    if free_bytes is not None and free_bytes < _NEXT_TO_NOTHING:
        return Failed(Reason.DISK_FULL, f"{free_bytes} bytes are left on the disk (git {what}: {_last_line(stderr)})")
    return Failed(Reason.GIT_FAILED, f"git {what}: {_last_line(stderr)}")


def _line_of(text: str, at: int) -> str:
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : end if end >= 0 else None].strip()[:300]


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return ((fatal or lines or ["it said nothing"])[-1]).strip()[:300]
