"""Can this command start here? Asked before the launch, and again after an exit code of 126 or 127.

The answer is for people: which of command, interpreter and directory is wrong, in place of a bare 127. The rules are
those of execvp(3) and execve(2). Standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from controller.executors.process.records import Exit

_DEFAULT_PATH = "/bin:/usr/bin"


def why_not(argv: tuple[str, ...], env: Mapping[str, str], cwd: str) -> Exit | None:
    """What keeps `argv` from being executed in `cwd`, as the record of an attempt that never started; None: nothing."""
    return check_words(argv, env) or check_directory(cwd) or check_command(argv[0], env.get("PATH", _DEFAULT_PATH), cwd)


def check_words(argv: tuple[str, ...], env: Mapping[str, str]) -> Exit | None:
    """InvalidSpec where execve(2) cannot be given these words at all, else None."""
    if not argv:
        return _refuse("InvalidSpec", "there is no command")
    if any("\0" in word for word in argv):
        return _refuse("InvalidSpec", "an argument contains a NUL character")
    bad = next((name for name, value in env.items() if not name or "=" in name or "\0" in name + value), None)
    if bad is not None:
        return _refuse("InvalidSpec", f"the environment variable {bad!r} has no valid name or contains a NUL")
    return None


def check_directory(cwd: str) -> Exit | None:
    """BadWorkingDirectory where chdir(2) would fail, else None."""
    try:
        if not stat.S_ISDIR(os.stat(cwd).st_mode):
            return _refuse("BadWorkingDirectory", f"{cwd}: not a directory")
    except (OSError, ValueError) as error:
        return _refuse("BadWorkingDirectory", f"{cwd}: {_text(error)}")
    if not os.access(cwd, os.X_OK, effective_ids=True):
        return _refuse("BadWorkingDirectory", f"{cwd}: permission denied")
    return None


def check_command(command: str, search_path: str, cwd: str) -> Exit | None:
    """CommandNotFound or NotExecutable by the rules of execvp(3), else None."""
    if not command:
        return _refuse("CommandNotFound", "the command is an empty string")
    if "\0" in command:
        return _refuse("CommandNotFound", "the command contains a NUL character")
    if "/" in command:
        return _check_file(command, os.path.join(cwd, command))
    refusal = None
    for directory in search_path.split(":"):
        path = os.path.join(cwd, directory, command)
        verdict = _check_file(command, path)
        if verdict is None:
            return None
        if verdict.reason == "NotExecutable" or os.path.lexists(path):
            refusal = refusal or verdict
    return refusal or _refuse("CommandNotFound", f"{command}: not found in PATH={search_path}")


def _check_file(command: str, path: str) -> Exit | None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _refuse("CommandNotFound", f"{command}: no such file")
    except OSError as error:
        return _refuse("NotExecutable", f"{command}: {_text(error)}")
    if not stat.S_ISREG(mode):
        return _refuse("NotExecutable", f"{command}: not a regular file")
    if not os.access(path, os.X_OK, effective_ids=True):
        return _refuse("NotExecutable", f"{command}: permission denied (is the x bit set?)")
    return _check_interpreter(command, path)


def _check_interpreter(command: str, path: str) -> Exit | None:
    try:
        with open(path, "rb") as file:
            line = file.read(256).partition(b"\n")[0]
    except OSError:
        return None  # executable but not readable is allowed
    words = line[2:].split() if line.startswith(b"#!") else []
    if not words:
        return None
    interpreter = os.fsdecode(words[0])
    if not os.path.exists(interpreter):
        return _refuse("CommandNotFound", f"{command}: its interpreter {interpreter} does not exist")
    if not os.access(interpreter, os.X_OK, effective_ids=True):
        return _refuse("NotExecutable", f"{command}: its interpreter {interpreter} is not executable")
    return None


def _refuse(reason: str, message: str) -> Exit:
    return Exit(never_started=True, reason=reason, message=message)


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
