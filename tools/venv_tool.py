#!/usr/bin/env python3
"""Makes a Python environment with pinned packages inside the build folder, once, and prints the path of its interpreter.

usage: tools/venv_tool.py NAME REQUIREMENTS

The environment is build/venv/NAME. It is made again when the text of REQUIREMENTS changes. Where packages come from is
the pip client's own configuration. REQUIREMENTS pins every package, those that others need too: nothing is resolved here.

Three generations of one reader are large, so an environment is kept small: no symbol tables, no compiled Python (keep_compiled()
has what is imported compiled once), and files equal to those of another environment are links to them.
"""
import collections
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENVS = ROOT / "build" / "venv"
LEAST_STRIPPED_BYTES = 1 << 20
# What no environment here needs.
SUPERFLUOUS = ("setuptools", "setuptools-*", "pkg_resources", "_distutils_hack", "distutils-precedence.pth", "numpy/**/tests")


def make(name: str, requirements: pathlib.Path) -> pathlib.Path:
    """The interpreter of build/venv/NAME, which holds exactly what `requirements` pins."""
    folder = VENVS / name
    python = folder / "bin" / "python3"
    stamp = folder / "made-from"
    # A virtual environment knows its own absolute path, so a moved one must be made again.
    key = hashlib.sha256(f"3\n{sys.version}\n{folder}\n{requirements.read_text()}".encode()).hexdigest()
    VENVS.mkdir(parents=True, exist_ok=True)
    with open(VENVS / "lock", "w", encoding="utf-8") as lock:  # test processes side by side ask for the same environment
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == key):
            _make(folder, python, requirements)
            stamp.write_text(key)
    return python


def _make(folder: pathlib.Path, python: pathlib.Path, requirements: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    print(f"venv: {folder.name}: installing what {requirements.name} pins", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-compile",
                    "--only-binary", ":all:", "-r", requirements], check=True, stdout=sys.stderr)
    slim(folder)


def keep_compiled() -> None:
    """What this process and those that it starts import is compiled once, outside the sources and the environments."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / "build/pycache")


def slim(folder: pathlib.Path) -> None:
    """Makes a fresh environment small. Safe, as environments are never changed in place: a new one replaces an old one."""
    for pattern in SUPERFLUOUS:
        for path in list(folder.glob(f"lib/python3*/site-packages/{pattern}")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    libraries = [path for path in folder.rglob("*.so*") if path.is_file() and not path.is_symlink()
                 and path.stat().st_size >= LEAST_STRIPPED_BYTES
                 and not path.parent.name.endswith(".libs")]  # rewritten by their packager; strip would damage them
    if libraries and shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)
    known = collections.defaultdict(list)  # size -> files of the other environments
    for path in VENVS.rglob("*"):
        if folder not in path.parents and path.is_file() and not path.is_symlink():
            known[path.stat().st_size].append(path)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size:
            _link_to_equal(path, known[path.stat().st_size])


def _link_to_equal(path: pathlib.Path, candidates: list[pathlib.Path]) -> None:
    """Replaces a file by a link to the first of its candidates (of its size) that holds the same bytes."""
    content = path.read_bytes() if candidates else b""
    for other in candidates:
        if os.access(other, os.X_OK) == os.access(path, os.X_OK) and other.read_bytes() == content:
            spare = path.with_name(path.name + ".link")
            spare.hardlink_to(other)
            spare.replace(path)
            return


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(make(sys.argv[1], pathlib.Path(sys.argv[2]).resolve()))
