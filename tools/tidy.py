#!/usr/bin/env python3
"""Runs clang-tidy over every C++ source, side by side, and remembers what was clean.

usage: tools/tidy.py [--all] [FILE.cc...]      --all: forget what was clean before

A file counts as clean while its own text, the headers of this repository that it reaches, its compile command, .clang-tidy
and clang-tidy's version are what they were when it was found clean. What was clean is kept in the user's cache folder
(or $CKPT_CACHE), so that a fresh clone of the same text pays nothing again.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

from tree import ROOT, files

TIDY = "clang-tidy-16"
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def cache_folder() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = pathlib.Path(os.environ.get("CKPT_CACHE") or os.path.join(base, "ckpt")) / "tidy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = ROOT / "build" / "tidy-cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.lru_cache(maxsize=None)
def reached(path: pathlib.Path) -> frozenset[pathlib.Path]:
    """The headers of this repository that `path` includes, itself and by way of others."""
    found: set[pathlib.Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        for name in INCLUDE.findall(current.read_bytes()):
            for base in (ROOT / "src", ROOT):
                header = base / name.decode()
                if header.is_file() and header not in found:
                    found.add(header)
                    waiting.append(header)
    return frozenset(found)


def key(path: pathlib.Path, command: str, settings: bytes) -> str:
    """A digest of all that clang-tidy's verdict on `path` depends on, the same in every clone."""
    flags = [flag.replace(str(ROOT), "") for flag in shlex.split(command)]
    digest = hashlib.sha256(settings)
    digest.update("\0".join(flags).encode())
    for file in [path, *sorted(reached(path))]:
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def compile_commands() -> dict[pathlib.Path, str]:
    """How each source of ours is compiled in the `tidy` preset, which is configured but never built."""
    folder = ROOT / "build" / "tidy"
    subprocess.run(["cmake", "--preset", "tidy", "-DCKPT_BENCH=ON"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    ours = {ROOT / name for name in files("*.cc")}
    entries = json.loads((folder / "compile_commands.json").read_text())
    return {pathlib.Path(entry["file"]): entry["command"] for entry in entries if pathlib.Path(entry["file"]) in ours}


def examine(path: pathlib.Path) -> str:
    """Empty if clang-tidy finds nothing in `path`, else what it says."""
    done = subprocess.run([TIDY, "--quiet", "-p", ROOT / "build" / "tidy", path], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}".replace(str(ROOT) + "/", "")


def findings(texts: list[str]) -> list[str]:
    """One line for each distinct finding: a header's are repeated by every file that includes it."""
    found: dict[str, None] = {}
    for text in texts:
        lines = [line for line in text.splitlines() if re.search(r":\d+: (error|warning): ", line)]
        found.update(dict.fromkeys(lines or [text]))
    return list(found)


def run(chosen: list[str], forget: bool = False) -> tuple[int, int, list[str]]:
    """Returns (files examined or known clean, of these known clean, what was found)."""
    commands = compile_commands()
    if chosen:
        commands = {path: command for path, command in commands.items() if str(path.relative_to(ROOT)) in chosen}
    settings = (ROOT / ".clang-tidy").read_bytes() + subprocess.run([TIDY, "--version"], check=True,
                                                                   capture_output=True).stdout
    cache = cache_folder()
    keys = {path: key(path, command, settings) for path, command in commands.items()}
    todo = [path for path in commands if forget or not (cache / keys[path]).exists()]
    texts = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, text in zip(todo, pool.map(examine, todo)):
            if text:
                texts.append(text)
            else:
                (cache / keys[path]).touch()
    return len(commands), len(commands) - len(todo), findings(texts)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--all"]
    total, known, found = run(arguments, forget="--all" in sys.argv)
    print("\n".join(found))
    print(f"clang-tidy: {total} files, {known} of them unchanged since they were clean, {len(found)} findings")
    sys.exit(bool(found) or total == 0)
