#!/usr/bin/env python3
"""The files of this repository: what git tracks, and new ones that git does not ignore.

usage: tools/tree.py [PATTERN...]      prints the names that match one of the patterns (default: all)
"""
import fnmatch
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def files(*patterns: str) -> list[str]:
    """Names relative to the root, sorted; a pattern without a slash matches the last part of the name."""
    if (ROOT / ".git").exists():
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    else:  # an unpacked archive
        listed = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
        listed = [name for name in listed if not name.startswith("build/") and "__pycache__" not in name]
    names = sorted(name for name in set(listed) if name and (ROOT / name).is_file())
    if not patterns:
        return names
    return [name for name in names
            if any(fnmatch.fnmatch(name if "/" in pattern else pathlib.PurePath(name).name, pattern)
                   for pattern in patterns)]


if __name__ == "__main__":
    print("\n".join(files(*sys.argv[1:])))
