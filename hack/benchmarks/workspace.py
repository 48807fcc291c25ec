"""workspace: what a job's own checkout costs against a full copy (requirement 5.3).

A repository of 1 GB in 50,000 files is made, cloned to a mirror, and checked out again and again: by the operation as
an executor would run it, start of its Python included, and by `cp -r` of a whole clone with its history, in turns.
Files and mirror are in the page cache; what is written goes there too, as it does for both. Where a loop device and
mkfs.xfs are at hand it is all done again on XFS, where files share their blocks; `cp -r` shares them there too, unless
it is told not to.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.result import Result, at_most, machine, say
from benchmarks.rig import Options
from controller.repositories import cleanup, requests
from controller.repositories.places import Places, base_key
from controller.repositories.requests import Remote, Request, Target

FILES, FILE_BYTES, FOLDERS = 50_000, 20_000, 500
ROUNDS = 3
IMAGE_BYTES = 12 * 1000**3
LIMIT_SECONDS = 900
PREPARE = ["sh", "-c", "echo prepared >prepared.txt"]
TARGETS = {
    "workspace_over_cp_r": at_most(1.0),
    "reflink_workspace_over_cp_r": at_most(1.0),
    "reflink_workspace_over_full_copy": at_most(1.0),
}


@dataclass
class _Place:
    """One file system with a mirror on it; `number` counts operations."""

    directory: Path
    places: Places
    commit: str = ""
    number: int = 0

    def perform(self, make: Callable[[Target], Request]) -> float:
        """Seconds of one operation."""
        self.number += 1
        target = Target(self.places, "bench", "big", f"bench.{self.number}", LIMIT_SECONDS)
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(self.directory)}
        began = time.perf_counter()
        done = subprocess.run(
            make(target).argv, env=env, check=False, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        took = time.perf_counter() - began
        result = requests.outcome(self.places, target.operation, done.returncode)
        if result is None or not result.succeeded:
            raise RuntimeError(f"{result}: {done.stderr[-2000:]}")
        self.commit = result.commit
        return took

    def workspace(self, key: str = "") -> float:
        """Seconds of one workspace, which is removed again."""
        took = self.perform(lambda target: requests.workspace(target, "job.1", "main", key=key))
        cleanup.remove_workspace(self.places, "job.1")
        return took

    def copy(self, *options: str) -> float:
        """Seconds of `cp -r` of a whole clone, which is removed again."""
        target = self.directory / "copied"
        began = time.perf_counter()
        subprocess.run(["cp", "-r", *options, self.directory / "clone", target], check=True, timeout=LIMIT_SECONDS)
        took = time.perf_counter() - began
        shutil.rmtree(target)
        return took


async def run(options: Options) -> Result:
    """Measure in the directory for temporary files, then on XFS where that can be made."""
    result, files = Result("workspace", TARGETS), options.at_most(FILES)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        directory = Path(name)
        result.machine = machine(directory)
        say(f"workspace: making a repository of {files} files")
        _make_repository(directory / "remote.git", files)
        place = _set_up(directory / "plain", directory / "remote.git", result, "")
        _compare_plain(place, result)
        shutil.rmtree(directory / "plain")
        with _xfs(directory) as mounted:
            if mounted is None:
                say("workspace: no XFS can be mounted here: no figures with reflink")
            else:
                _compare_reflink(_set_up(mounted / "xfs", directory / "remote.git", result, "reflink_"), result)
    return result


def _set_up(directory: Path, remote: Path, result: Result, prefix: str) -> _Place:
    """The mirror, and the clone that `cp -r` copies."""
    directory.mkdir()
    place = _Place(directory, Places(directory / "home"))
    source = Remote(f"file://{remote}", ("file",))
    result.add(**{f"{prefix}clone_seconds": place.perform(lambda target: requests.clone(target, source, "main"))})
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(remote), str(directory / "clone")]
    subprocess.run(clone, check=True, timeout=LIMIT_SECONDS)
    return place


def _compare_plain(place: _Place, result: Result) -> None:
    key = base_key(place.commit, PREPARE)
    result.add(prepare_seconds=place.perform(lambda target: requests.prepare(target, place.commit, key, PREPARE)))
    ways = {"workspace": place.workspace, "prepared_workspace": lambda: place.workspace(key), "cp_r": place.copy}
    took = _in_turns(ways)
    result.add(**{f"{name}_seconds": seconds for name, seconds in took.items()})
    result.add(workspace_over_cp_r=took["workspace"] / took["cp_r"])
    result.add(prepared_workspace_over_cp_r=took["prepared_workspace"] / took["cp_r"])


def _compare_reflink(place: _Place, result: Result) -> None:
    result.add(reflink_first_workspace_seconds=place.workspace())
    ways: dict[str, Callable[[], float]] = {
        "workspace": place.workspace,
        "cp_r": place.copy,
        "full_copy": lambda: place.copy("--reflink=never"),
    }
    took = _in_turns(ways)
    result.add(**{f"reflink_{name}_seconds": seconds for name, seconds in took.items()})
    result.add(reflink_workspace_over_cp_r=took["workspace"] / took["cp_r"])
    result.add(reflink_workspace_over_full_copy=took["workspace"] / took["full_copy"])
    before = _free(place.directory)
    place.perform(lambda target: requests.workspace(target, "job.2", "main"))
    os.sync()
    result.add(reflink_workspace_disk_mb=(before - _free(place.directory)) / 1e6)


def _in_turns(ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Median seconds of each; the order changes, and what the one before has to write is written before the next."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in sorted(ways, reverse=bool(number % 2)):
            os.sync()
            took[name].append(ways[name]())
    return {name: statistics.median(values) for name, values in took.items()}


def _make_repository(remote: Path, files: int) -> None:
    """One commit by git fast-import; the files are words, which compress as source code does."""
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(remote)], check=True, timeout=60)
    source = random.Random(4)
    words = ["".join(source.choices("etaoinshrdlucmfwyp_", k=source.randint(2, 10))) for _ in range(8000)]
    lines = [" ".join(source.choices(words, k=8)) + "\n" for _ in range(20_000)]
    command = ["git", "-C", str(remote), "fast-import", "--quiet", "--depth=0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as importer:
        assert importer.stdin is not None
        who = "Bench <bench@example.com> 1700000000 +0000"
        importer.stdin.write(f"commit refs/heads/main\ncommitter {who}\ndata 4\nall\n\n".encode())
        for number in range(files):
            text = "".join(source.choices(lines, k=FILE_BYTES // 55)).encode()[:FILE_BYTES].ljust(FILE_BYTES)
            path = f"src/{number % FOLDERS:03}/file-{number}.txt"
            importer.stdin.write(f"M 100644 inline {path}\ndata {len(text)}\n".encode() + text + b"\n")
    if importer.returncode != 0:
        raise RuntimeError("git fast-import failed")


@contextlib.contextmanager
def _xfs(directory: Path) -> Iterator[Path | None]:
    """A directory on an XFS of its own in a file; None where that cannot be had."""
    image, mounted = directory / "xfs.image", directory / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    steps = (["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], ["mount", "-o", "loop", str(image), str(mounted)])
    for step in steps:
        if shutil.which(step[0]) is None or subprocess.run(step, check=False, capture_output=True).returncode != 0:
            yield None
            return
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True, timeout=120)


def _free(path: Path) -> int:
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize
