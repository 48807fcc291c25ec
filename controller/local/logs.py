"""Log files of the servers: bounded, appended to by the servers themselves, read here for messages to people."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 32 * 1024**2
TAIL_BYTES = 64 * 1024


def size(path: Path) -> int:
    """Bytes in the log now, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def since(path: Path, offset: int) -> str:
    """What was logged after `offset`, at most the last 64 KiB of it."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(min(offset, end), end - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_lines(text: str, count: int = 8) -> str:
    """The last lines that say something, cut to 300 characters each and indented for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(f"    {line[:300]}" for line in lines[-count:]) or "    (nothing was logged)"


def bound(path: Path) -> None:
    """Move the content to `<name>.log.1` when there is too much.

    The servers keep the file open with O_APPEND, so it is copied and truncated; a line written between the two is lost.

    Raises:
        OSError: it could not be copied, a full disk for example. It is cut all the same and nothing of the copy stays:
            the room is worth more than old lines.
    """
    if size(path) <= MAX_BYTES:
        return
    kept = path.with_name(f"{path.name}.1")
    try:
        shutil.copyfile(path, kept)
    except OSError as error:
        with suppress(OSError):
            kept.unlink()
        text = f"{error.strerror or error}; what it held is lost, it was cut to make room"
        raise OSError(error.errno, text, str(kept)) from error
    finally:
        os.truncate(path, 0)
