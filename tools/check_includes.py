#!/usr/bin/env python3
"""Holds src/ to its design: which folder may include which.

usage: tools/check_includes.py      prints each include that breaks the rule; exit status 1 if there is one

The table is the design's picture turned into text: base below all, cli above all, and bytes flow from left to right
(store, source, model, plan, run, target). run/ drives targets through plan/target.h, so it never sees target/.
"""
import re
import sys

from tree import ROOT, files

MAY_INCLUDE = {
    "base": "",
    "format": "base",
    "kernel": "base",
    "store": "base",
    "source": "base format store",
    "model": "base source",
    "plan": "base store source model",  # store/ for the names and sizes of objects; plan/ does no I/O
    "run": "base store source model plan kernel",
    "target": "base format kernel model plan",
    "cli": "base format store source model plan run target kernel",
}
# One store, source format or target: known to itself and to cli alone, so that a new one touches no other folder.
CONCRETE = re.compile(r"(?:store|source|target)/\w+/")
# Heavy libraries stay in .cc files, so that our headers stay cheap to include and their types out of our interfaces.
HIDDEN_FROM_HEADERS = re.compile(r"(?:nlohmann|toml\+\+|openssl|curl|CLI|spdlog)/")
# Highway is included with quotation marks, as its own examples do; in kernel/ only.
QUOTED_LIBRARY = {"kernel": "hwy"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def faults(name: str, text: str) -> list[str]:
    """What is wrong with the includes of the file src/`name`."""
    folder = name.split("/")[0]
    if folder not in MAY_INCLUDE:
        return [f"src/{name}: folder {folder}/ is not in the table of tools/check_includes.py"]
    allowed = {folder, *MAY_INCLUDE[folder].split()}
    found = []
    for match in INCLUDE.finditer(text):
        quote, target = match.groups()
        place = f"src/{name}:{text.count(chr(10), 0, match.start(2)) + 1}"
        other = target.split("/")[0]
        if quote == "<":
            if name.endswith(".h") and HIDDEN_FROM_HEADERS.match(target) and "fwd" not in target:
                found.append(f"{place}: <{target}> belongs in a .cc file, not in a header")
        elif "/" not in target or target.startswith("."):
            found.append(f'{place}: "{target}" must be a full path from src/')
        elif other == QUOTED_LIBRARY.get(folder):
            continue
        elif other not in MAY_INCLUDE:
            found.append(f'{place}: "{target}" is in no folder of src/')
        elif other not in allowed:
            words = " ".join(sorted(allowed))
            found.append(f'{place}: {folder}/ may not include {other}/ ("{target}"); it may include: {words}')
        elif (concrete := CONCRETE.match(target)) and folder not in (other, "cli"):
            found.append(f'{place}: only cli/ may name {concrete[0]} ("{target}"); use the interface in {other}/')
    return found


def check() -> list[str]:
    """Every fault in src/."""
    names = [name.removeprefix("src/") for name in files("src/*.h", "src/*.cc")]
    return [fault for name in names for fault in faults(name, (ROOT / "src" / name).read_text())]


def self_test() -> None:
    """A rule that finds nothing may be a rule that looks at nothing: each kind of fault is planted and must be found."""
    planted = {
        ("run/a.cc", '#include "target/orbax/writer.h"'): "may not include target/",
        ("base/a.h", '#include "store/store.h"'): "may not include store/",
        ("plan/a.cc", '#include "cli/registry.h"'): "may not include cli/",
        ("source/a.cc", '#include "store/file/file_store.h"'): "only cli/ may name",
        ("model/a.h", "#include <nlohmann/json.hpp>"): "belongs in a .cc file",
        ("model/a.cc", '#include "view.h"'): "full path",
    }
    for (name, text), words in planted.items():
        assert any(words in fault for fault in faults(name, text)), (name, text)
    assert not faults("run/a.cc", '#include "plan/target.h"\n#include <nlohmann/json.hpp>\n')
    assert not faults("cli/registry.cc", '#include "target/orbax/writer.h"\n')


if __name__ == "__main__":
    self_test()
    problems = check()
    print("\n".join(problems) if problems else "every include is allowed")
    sys.exit(bool(problems))
