#!/usr/bin/env python3
"""Writes the table of docs/exit-codes.md from src/base/error.h and error.cc, so that document and program cannot part.

usage: tools/exit_codes.py           rewrites the table
       tools/exit_codes.py --check   changes nothing; exit status 1 if the table is not what the code says
"""
import re
import sys

from tree import ROOT

PAGE = ROOT / "docs" / "exit-codes.md"
BEGIN, END = "<!-- made by tools/exit_codes.py from src/base/error.h -->\n", "<!-- end -->\n"


def table() -> str:
    """The Markdown table: status, first words of the message, meaning."""
    header = (ROOT / "src/base/error.h").read_text()
    source = (ROOT / "src/base/error.cc").read_text()
    body = re.search(r"enum class Code.*?\{(.*?)\};", header, re.DOTALL)[1]
    words = dict(re.findall(r'case Code::(k\w+):\s*return "([^"]+)";', source))
    rows = ["| status | the message begins | when |", "| --- | --- | --- |",
            "| 0 | | all that was asked for is done |",
            "| 1 | | `ckpt diff` alone: the two checkpoints differ |"]
    for name, number, meaning in re.findall(r"(k\w+) = (\d+),\s*///< (.*)", body):
        rows.append(f"| {number} | `ckpt: {words[name]}: ` | {meaning} |")
    return "\n".join(rows) + "\n"


def page_with(text: str) -> str:
    """`text` with the table between its marks replaced by the code's."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    old = PAGE.read_text()
    new = page_with(old)
    if "--check" in sys.argv:
        sys.exit(0 if old == new else "docs/exit-codes.md differs from the code: run tools/exit_codes.py")
    PAGE.write_text(new)
