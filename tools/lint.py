#!/usr/bin/env python3
"""Every check that reads text and runs nothing of ours.

usage: tools/lint.py [--all]      --all: clang-tidy forgets what was clean before
"""
import pathlib
import subprocess
import sys

import check_docs
import check_includes
import check_names
import tidy
from tree import ROOT, files


def clang_format() -> list[str]:
    """C++ files that clang-format would change."""
    done = subprocess.run(["clang-format-16", "--dry-run", "--Werror", *files("*.cc", "*.h")], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    changed = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "clang-format-violations" in line})
    if done.returncode and not changed:
        return [done.stderr]
    return [f"{name}: not formatted; ./dev format does it" for name in changed]


def shellcheck() -> list[str]:
    """What shellcheck says of the scripts, those without an ending included."""
    scripts = [name for name in files() if name.endswith(".sh") or
               (pathlib.PurePath(name).suffix == "" and (ROOT / name).read_bytes()[:64].split(b"\n")[0].endswith(b"bash"))]
    done = subprocess.run(["shellcheck", "-x", "-P", "SCRIPTDIR", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    return [done.stdout + done.stderr] if done.returncode else []


def python_syntax() -> list[str]:
    """Python files that do not compile."""
    found = []
    for name in files("*.py"):
        try:
            compile((ROOT / name).read_text(), name, "exec")
        except SyntaxError as error:
            found.append(f"{name}:{error.lineno}: {error.msg}")
    return found


def self_tests() -> list[str]:
    """The checkers find what is planted for them."""
    check_includes.self_test()
    check_names.self_test()
    return []


def clang_tidy(forget: bool) -> list[str]:
    """What clang-tidy says."""
    total, known, problems = tidy.run([], forget)
    print(f"lint: clang-tidy: {total} files, {known} of them unchanged since they were clean")
    return problems if total else ["clang-tidy: no file was examined"]


def run(forget: bool = False, with_tidy: bool = True) -> tuple[int, int]:
    """Runs every check; prints what is wrong; returns (passed, failed). clang-tidy takes a quarter of an hour on two cores
    where nothing is known yet, so the test suite leaves it to ./dev lint."""
    checks = {
        "checkers check": self_tests,
        "include rule": check_includes.check,
        "names": check_names.check,
        "documents": check_docs.check,
        "python syntax": python_syntax,
        "shellcheck": shellcheck,
        "clang-format": clang_format,
    }
    if with_tidy:
        checks["clang-tidy"] = lambda: clang_tidy(forget)
    failed = 0
    for name, check in checks.items():
        try:
            problems = check()
        except (OSError, subprocess.CalledProcessError, AssertionError, KeyError) as error:  # it could not be run
            problems = [f"{type(error).__name__}: {error} {getattr(error, 'stderr', '') or ''}"]
        failed += bool(problems)
        print(f"lint: {name}: {'FAILED' if problems else 'passed'}", *problems, sep="\n  ", flush=True)
    return len(checks) - failed, failed


if __name__ == "__main__":
    good, bad = run("--all" in sys.argv)
    print(f"{good} passed, {bad} failed")
    sys.exit(bool(bad))
