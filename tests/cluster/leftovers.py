#!/usr/bin/env python3
"""What tests of the image, of Jobs and of Slurm left behind on this machine: processes, mounts, network links, control groups, rules.

usage: tests/cluster/leftovers.py      prints each; exit status 1 if there is one. Run as root, after the tests

Only what is ours counts: what names a folder of these tests, or has a name that tools/cluster.sh or tools/world.sh gives. The checker
proves first that it would find something, by a process and a mount of its own.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [ROOT / "build/cluster", ROOT / "build/containers", ROOT / "build/image", ROOT / "build/slurm"]


def processes(folders):
    """Processes that name one of these folders in their arguments, or work or were started in one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [words]
            for link in ("cwd", "exe", "root"):
                with contextlib.suppress(OSError):
                    places.append(os.readlink(process / link))
            if any(f"{folder}/" in place + "/" for folder in folders for place in places):
                found.append(f"process {process.name}: {words.strip()[:200]}")
    return found


def mounts(folders):
    """Mounts below one of these folders, or of files in one, and what a pod's network leaves under /run."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        target = line.split(" ")[4]
        ours = any(f"{folder}/" in line or target == str(folder) for folder in folders)
        if ours or target.startswith("/run/netns/cni-"):
            found.append(f"mount {target}")
    return found


def links():
    """The bridge between pods."""
    return [f"network link {link.name}" for link in Path("/sys/class/net").glob("ckpt0*")]


def control_groups():
    """Those of pods, in both versions."""
    groups = Path("/sys/fs/cgroup")
    return [f"control group {path}" for path in [*groups.glob("kubepods*"), *groups.glob("*/kubepods*")]]


def self_test():
    """A planted process and a planted mount are found, and are no longer found when they are gone."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as text:
        folder = Path(text)
        (folder / "mounted").mkdir()
        planted = subprocess.Popen(["sleep", "60"], cwd=folder)
        try:
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder / "mounted"], check=True)
            try:
                assert len(mounts([folder])) == 1
                assert any(f"process {planted.pid}:" in text for text in processes([folder]))
            finally:
                subprocess.run(["umount", folder / "mounted"], check=True)
        finally:
            planted.kill()
            planted.wait()
        assert not mounts([folder]) and not processes([folder])


def rules():
    """Of tools/world.sh."""
    said = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    return [f"iptables: {line}" for line in said.splitlines() if "CKPT-WORLD" in line]


def leftovers():
    """All of them."""
    return processes(FOLDERS) + mounts(FOLDERS) + links() + control_groups() + rules()


if __name__ == "__main__":
    self_test()
    until = time.monotonic() + 10
    while (left := leftovers()) and time.monotonic() < until:
        time.sleep(0.5)  # a process that was told to end may take a moment
    print("\n".join(left) if left else "nothing is left running or mounted")
    sys.exit(bool(left))
