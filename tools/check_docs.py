#!/usr/bin/env python3
"""Documents agree with the tree: links lead somewhere, every folder of src/ says what it is, generated text is fresh.

usage: tools/check_docs.py      prints each fault; exit status 1 if there is one
"""
import re
import sys

import exit_codes
import quality
from tree import ROOT, files

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def broken_links() -> list[str]:
    """Links between documents that lead nowhere."""
    found = []
    for name in files("*.md"):
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
        found += [f"{name}: link to {target}, which is not there" for target in LINK.findall(text)
                  if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()]
    return found


def folders_without_words() -> list[str]:
    """Folders right below src/ whose README.md is missing, or no page of 3 to 15 lines."""
    found = []
    for folder in sorted({name.split("/")[1] for name in files("src/*/*.h", "src/*/*.cc")}):
        page = ROOT / "src" / folder / "README.md"
        lines = len(page.read_text().splitlines()) if page.exists() else 0
        if not 3 <= lines <= 15:
            found.append(f"src/{folder}/README.md: {lines} lines; it takes 5 to 15 to say what comes in, what goes out, "
                         "and which file to read first")
    return found


def check() -> list[str]:
    """Every fault."""
    found = broken_links() + folders_without_words()
    if exit_codes.PAGE.read_text() != exit_codes.page_with(exit_codes.PAGE.read_text()):
        found.append("docs/exit-codes.md differs from src/base/error.h: run tools/exit_codes.py")
    if quality.stale():
        found.append("docs/quality.md differs from docs/quality.json: run tools/quality.py")
    return found


if __name__ == "__main__":
    problems = check()
    print("\n".join(problems) if problems else "the documents agree with the tree")
    sys.exit(bool(problems))
