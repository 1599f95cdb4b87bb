#!/usr/bin/env python3
"""No file of this repository names a folder of somebody's machine, or the host that a machine fetches packages from.

usage: tools/check_names.py      prints each place that does; exit status 1 if there is one

The hosts are not listed here, as the list itself would name them: they are read from this machine's own settings of the
package clients (pip, apt, npm, cargo, Go), and then searched for. Values of those settings are never printed.
"""
import os
import pathlib
import re
import subprocess
import sys

from tree import ROOT, files

MACHINE_PATH = re.compile(r"(?<![\w.\-}])/(?:work|root|home/[a-z]\w*|Users/\w+)/")
# Public homes of formats and code that texts here cite as origins.
CITED = {"github.com", "huggingface.co", "www.apache.org", "docs.python.org"}


def registry_hosts() -> set[str]:
    """Hosts in the settings of this machine's package clients."""
    texts = [value for key, value in os.environ.items()
             if re.match(r"(PIP|UV|NPM_CONFIG|npm_config|CARGO|GOPROXY|PYTHON)", key)]
    for query in (["-m", "pip", "config", "list"],
                  ["-c", "from pip._internal.models.index import PyPI; print(PyPI.url)"]):  # pip's built-in default
        texts.append(subprocess.run([sys.executable, *query], capture_output=True, text=True, check=False).stdout)
    folders = [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt").glob("sources.list.d/*"),
               pathlib.Path("/etc/pip.conf"), pathlib.Path.home() / ".npmrc", pathlib.Path.home() / ".cargo/config.toml"]
    texts += [path.read_text(errors="replace") for path in folders if path.is_file() and os.access(path, os.R_OK)]
    hosts = {host.lower() for text in texts for host in re.findall(r"\w+://(?:[^/@\s]*@)?([\w.\-]+\.[a-z]{2,})", text)}
    return hosts - CITED


def faults(name: str, text: str, hosts: set[str]) -> list[str]:
    """The lines of the file `name` that name a machine's folder or one of `hosts`."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if path := MACHINE_PATH.search(line):
            found.append(f"{name}:{number}: names the machine path {path[0]}")
        if any(host in line.lower() for host in hosts):
            found.append(f"{name}:{number}: names a package registry's host")
    return found


def check() -> list[str]:
    """Every fault in the repository's text files."""
    hosts = registry_hosts()
    found = []
    for name in files():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content[:8192]:
            found += faults(name, content.decode(errors="replace"), hosts)
    return found


def self_test() -> None:
    """Planted faults must be found, and ordinary text must not."""
    assert faults("a", "cd /" + "work/main", set())
    assert faults("a", "x\ncat /" + "home/me/x", set()) == ["a:2: names the machine path /" + "home/me/"]
    assert faults("a", "see https://packages.example.org/simple", {"packages.example.org"})
    assert not faults("a", "gs://bucket/work/x ${root}/root/x ./work/y", {"packages.example.org"})


if __name__ == "__main__":
    self_test()
    problems = check()
    print("\n".join(problems) if problems else "no machine path, no registry host")
    sys.exit(bool(problems))
