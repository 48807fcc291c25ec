"""Make the image as a docker archive, from the list of steps, without a daemon: debootstrap, uv, tar.

Each layer is kept in the cache under the hash of what it is made from: only a change of the packages asks the Debian
mirror again, and a change of the project's own files costs seconds. The mirror and the index are those that apt and uv
of this machine are set up with; no address of theirs gets into the image.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from controller.errors import Terminal
from hack.image.containerfile import compile_command
from hack.image.steps import NAME, PYTHON, STEPS, Compile, Config, Debian, Project, Run, Step, Wheels
from hack.node import archive
from hack.node.layout import CHECKOUT
from hack.node.needs import OWN_CLUSTER, find, install_packages
from hack.node.run import run

BOOTSTRAP_SECONDS = 1800.0
STEP_SECONDS = 600.0
KEPT = 2  # archives and layers of each kind: branches take turns
GLIBC = "2_36"  # of the suite: no wheel may want a later one
# Leftovers of a bootstrap, and the machine's own devices and settings.
EMPTIED = ("dev", "proc", "sys", "run", "var/cache/apt", "var/lib/apt/lists", "var/log")

Say = Callable[[str], None]


def build(cache: Path, uv: str, say: Say) -> Path:
    """Path of the archive; made where the cache has none for this content.

    Args:
        cache: directory of images and layers, may be removed at any time.
        uv: the program that installs packages.

    Raises:
        Terminal: the machine lacks root or a program. Transient: a download or a step failed.
    """
    if os.geteuid() != 0:
        raise Terminal("NotRoot", f"making an image needs root (chroot). {OWN_CLUSTER}, with an image of your own")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    layers, config = _split(STEPS)
    names: list[Path] = []
    how = [Path(module).read_text() for module in (__file__, archive.__file__)]
    key = hashlib.sha256("\0".join([platform.machine(), *how]).encode())
    for index, steps in enumerate(layers):
        for part in steps:
            key.update(_content(part))
        names.append(cache / f"layer{index}-{key.hexdigest()[:16]}.tar")
    key.update(repr(config).encode())
    target = cache / f"holdfast-{key.hexdigest()[:16]}.tar"
    if target.exists():
        target.touch()
        return target
    for index, steps in enumerate(layers):
        if not names[index].exists():
            _make_layer(names[: index + 1], steps, uv, say)
        names[index].touch()
    say(f"writing {target}")
    archive.write(target, f"{NAME}:{key.hexdigest()[:12]}", names, _oci(config))
    _forget_old(cache)
    return target


def image_name(path: Path) -> str:
    """The name with its tag that the archive at `path` has inside; each content has a tag of its own."""
    return f"{NAME}:{path.stem.rpartition('-')[2][:12]}"


def _split(steps: Sequence[Step]) -> tuple[list[list[Step]], Config]:
    """The layers: what comes from Debian, what comes from the index, what is ours."""
    layers: list[list[Step]] = []
    for step in steps:
        if isinstance(step, Config):
            return layers, step
        if isinstance(step, Debian | Wheels | Project):
            layers.append([])
        layers[-1].append(step)
    raise AssertionError("the list ends with Config")


def _content(step: Step) -> bytes:
    """All that the result of a step depends on."""
    digest = hashlib.sha256(repr(step).encode())
    sources = step.sources if isinstance(step, Project) else (step.requirements,) if isinstance(step, Wheels) else ()
    for path in project_files(sources):
        digest.update(f"{path.relative_to(CHECKOUT)} {path.stat().st_mode & 0o111:o}\0".encode() + path.read_bytes())
    return digest.digest()


def project_files(sources: Sequence[str]) -> Iterator[Path]:
    """Every file below these paths of the checkout, in an order that is always the same."""
    for source in sources:
        path = CHECKOUT / source
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (one for one in found if one.is_file() and "__pycache__" not in one.parts)


def _make_layer(layers: Sequence[Path], steps: Sequence[Step], uv: str, say: Say) -> None:
    """Make the last of `layers` by its steps, on top of the ones before it."""
    with tempfile.TemporaryDirectory(dir=layers[-1].parent, prefix="work.tmp.") as work:
        root = Path(work) / "root"
        root.mkdir(mode=0o755)
        if len(layers) > 1:  # its Python is what later steps run; what the layers between them hold is not needed
            with tarfile.open(layers[0]) as tar:
                tar.extractall(root, filter="fully_trusted")
        for step in steps:
            _make(step, root, uv, say)
        if len(layers) == 1:
            for name in EMPTIED:
                _empty(root / name)
            archive.write_layer(layers[-1], root)
        else:
            targets = [step.target for step in steps if isinstance(step, Wheels | Project)]
            archive.write_layer(layers[-1], root, [target.lstrip("/") for target in targets])


def _make(step: Step, root: Path, uv: str, say: Say) -> None:
    match step:
        case Debian(suite, packages):
            say(f"making Debian {suite} with {', '.join(packages)}")
            _bootstrap(suite, packages, root, say)
        case Run(why, command):
            say(why)
            run(["chroot", str(root), "/bin/sh", "-euc", command], STEP_SECONDS)
        case Wheels(requirements, target):
            say(f"installing {requirements}")
            wanted = ["--require-hashes", "--only-binary", ":all:", "-r", str(CHECKOUT / requirements)]
            _install(uv, root, target, wanted)
        case Project(_, target):
            say("installing this project")
            _install(uv, root, target, ["--no-deps", str(CHECKOUT)])
        case Compile(target):
            run(["chroot", str(root), *compile_command(target)], STEP_SECONDS)
        case Config():
            raise AssertionError("not part of a layer")


def _bootstrap(suite: str, packages: Sequence[str], root: Path, say: Say) -> None:
    install_packages(say, {"debootstrap": "debootstrap"})
    options = ["--variant=minbase", f"--include={','.join(packages)}"]
    # In namespaces of its own: its mounts and processes end with it, also when it is killed.
    apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]
    mirror = _mirror(suite)
    argv = [*apart, find("debootstrap") or "debootstrap", *options, suite, str(root), *([mirror] if mirror else [])]
    run(["env", "DEBIAN_FRONTEND=noninteractive", *argv], BOOTSTRAP_SECONDS)
    for name in ("sources.list", "sources.list.d", "apt.conf.d"):
        path = root / "etc/apt" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)


def _mirror(suite: str) -> str | None:
    """Where this machine's apt has the suite from; None where it has it from nowhere: debootstrap knows a mirror."""
    if shutil.which("apt-get") is None:
        return None
    form = "$(CODENAME) $(COMPONENT) $(REPO_URI)"
    said = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    found = [line.split()[2] for line in said.splitlines() if line.split()[:2] == [suite, "main"]]
    return found[0] if found else None


def _install(uv: str, root: Path, target: str, wanted: Sequence[str]) -> None:
    machine = platform.machine()
    place = root / target.lstrip("/")
    options = ["--python-version", PYTHON, "--python-platform", f"{machine}-manylinux_{GLIBC}", "--target", str(place)]
    run([uv, "pip", "install", "--quiet", *options, *wanted], STEP_SECONDS)
    # Start scripts name this machine's Python, the others where the project was.
    shutil.rmtree(place / "bin", ignore_errors=True)
    for name in ("direct_url.json", "uv_cache.json", ".lock"):
        for path in place.rglob(name):
            path.unlink()
    for record in place.glob("*.dist-info/RECORD"):
        kept = [line for line in record.read_text().splitlines() if not line.startswith("../")]
        record.write_text("\n".join(line for line in kept if not line.startswith("bin/")) + "\n")


def _empty(directory: Path) -> None:
    for path in directory.iterdir() if directory.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _oci(config: Config) -> dict[str, object]:
    return {
        "User": config.user,
        "WorkingDir": config.directory,
        "Env": [f"{name}={value}" for name, value in config.environment],
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
    }


def _forget_old(cache: Path) -> None:
    kinds = {path.name.partition("-")[0] for path in cache.glob("*-*.tar")}
    for kind in kinds:
        newest_first = sorted(cache.glob(f"{kind}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest_first[KEPT:]:
            path.unlink()


def find_uv() -> str:
    """The uv that hack/setup uses, by its own script."""
    return run(["bash", "-c", f". {CHECKOUT}/hack/lib.sh; find_uv"], STEP_SECONDS).strip()
