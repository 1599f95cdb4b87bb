#!/usr/bin/env python3
"""What conversions of models of real sizes need: the table of README.md, from `ckpt plan` on sparse models of their shapes.

usage: tools/sizing.py [--program CKPT]           rewrites the table
       tools/sizing.py --check [--program CKPT]   changes nothing; exit status 1 if the table is not what the plans say

Budgets and threads are always said, so that the figures are the same on every machine. A budget is the program's own default
on a machine of so many cores: 128 MiB for each and two more. Standard library only; the models take some MB and a second.
"""
import argparse
import functools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import make_model
from tree import ROOT

PAGE = ROOT / "README.md"
BEGIN, END = "<!-- made by tools/sizing.py from ckpt plan -->\n", "<!-- end of what tools/sizing.py made -->\n"
MIB = 1 << 20
PROGRAM_MIB = 64  # a run's peak stays below its budget and this: the program, its threads, its libraries
LEAST_MIB = 128  # no budget below this is taken
NOTHING_PLANTED = 1 << 50  # distance of planted blocks: the plan reads headers only

Shape = make_model.Shape
SHAPES = {  # name: (shape, shards)
    "llama2-7b": (Shape(32, 4096, 32, 32, 11008, 32000, 128), 2),
    "llama3.1-8b": (Shape(32, 4096, 32, 8, 14336, 128256, 128), 4),
    "llama3.1-70b": (Shape(80, 8192, 64, 8, 28672, 128256, 128), 30),
    "llama3.1-405b": make_model.PRESETS["405b"],
}
ALL_THREE = ("--to", "maxtext", "--outputs", "scanned,unscanned,int8")
INT8 = ("--to", "jetstream-pytorch", "--quantize", "int8_per_channel")
ROWS = [  # model, its name in the table, what to write, words for it, cores
    ("llama3.1-8b", "8B", "MaxText scanned + unscanned + int8", ALL_THREE, 8),
    ("llama3.1-70b", "70B", "MaxText scanned + unscanned + int8", ALL_THREE, 8),
    ("llama3.1-405b", "405B", "MaxText scanned + unscanned + int8", ALL_THREE, 16),
    ("llama3.1-8b", "8B", "JetStream-PyTorch int8", INT8, 4),
    ("llama3.1-70b", "70B", "JetStream-PyTorch int8", INT8, 4),
]
# (name, what to write): the measured figures, and the words of docs/bench.md that say so.
MEASURED = {
    ("405B", ROWS[2][2]): ("257 MiB, 256 s on 2 CPU, into a sink", "into `null:`, `--io auto`, 2026-11-25, quiet: 256 s, "
                           "3.17 GB/s in, 11 GB/s moved, 506 CPU s, peak RSS 257 MiB"),
}


def default_budget_mib(cores: int) -> int:
    """The program's own default for so many cores."""
    return LEAST_MIB * (cores + 2)


def limit_mib(budget_mib: int) -> int:
    """What a container with this budget must be given."""
    return budget_mib + PROGRAM_MIB


def gigabytes(size_bytes: int) -> str:
    """16.1 GB; three digits, as the plan of a real file differs in the size of its headers."""
    return f"{float(f'{size_bytes / 1e9:.3g}'):.{max(0, 3 - len(str(int(size_bytes / 1e9))))}f} GB"


class Planner:
    """Plans conversions of sparse models with the program under test."""

    def __init__(self, program: pathlib.Path):
        self._program = program
        self._scratch = tempfile.TemporaryDirectory(prefix="ckpt-sizing-")
        self.plan = functools.cache(self._plan)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._scratch.cleanup()

    def folder(self, model: str) -> pathlib.Path:
        """The sparse model, made when it is first asked for."""
        folder = pathlib.Path(self._scratch.name, model)
        if folder.exists():
            return folder
        make_model.make(folder, *SHAPES[model], sparse=True, every=NOTHING_PLANTED)
        return folder

    def _said(self, verb: str, model: str, place, words: tuple, cores: int, *flags: str) -> dict:
        """What `ckpt VERB --json` prints of a conversion. Raises RuntimeError with what the program said."""
        named = ("--model", model) if "maxtext" in words else ()
        command = [self._program, verb, self.folder(model), place, *words, *named, "--threads", str(cores), *flags, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
        return json.loads(done.stdout)

    def _plan(self, model: str, words: tuple, cores: int, budget_mib: int) -> dict:
        """The plan as `ckpt plan --json` prints it."""
        out = pathlib.Path(self._scratch.name, "out")  # never made; into null: a run keeps its side values in memory
        return self._said("plan", model, out, words, cores, "--memory", f"{budget_mib}MiB")

    def pod_mib(self, model: str, words: tuple, cores: int) -> int:
        """The memory that the Job which `ckpt manifest` prints asks for."""
        said = self._said("manifest", model, "gs://bucket/out", words, cores)
        (container,) = said["spec"]["template"]["spec"]["containers"]
        return int(container["resources"]["requests"]["memory"].removesuffix("Mi"))

    def least_mib(self, model: str, words: tuple) -> int:
        """The smallest budget that one thread can do it in; the program names it where it refuses a smaller one."""
        try:
            self.plan(model, words, 1, LEAST_MIB)
            return LEAST_MIB
        except RuntimeError as error:
            named = re.search(r"the least budget that would do is --memory (\d+)MiB", str(error))
            if not named:
                raise
            self.plan(model, words, 1, int(named[1]))  # and it holds
            return int(named[1])


def table(planner: Planner) -> str:
    """The Markdown table and the sentence below it."""
    text = ["| Llama | to | in | out | CPU | memory | disk | measured |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    least = LEAST_MIB
    bench = re.sub(r"\s+", " ", (ROOT / "docs/bench.md").read_text())
    for model, name, what, words, cores in ROWS:
        plan = planner.plan(model, words, cores, default_budget_mib(cores))
        least = max(least, planner.least_mib(model, words))
        measured, evidence = MEASURED.get((name, what), ("not yet", ""))
        if evidence not in bench:
            raise RuntimeError(f"docs/bench.md no longer says: {evidence}")
        text.append(f"| {name} | {what} | {gigabytes(plan['bytes']['read'])} | {gigabytes(plan['bytes']['written'])} | {cores} | "
                    f"{planner.pod_mib(model, words, cores)} MiB | {plan['scratch_disk_bytes']} | {measured} |")
    text += ["", f"Planned, but for the last column. Every row also fits in one CPU and {limit_mib(least)} MiB (`--threads 1 "
             f"--memory {least}MiB`)."]
    return "\n".join(text) + "\n"


def page_with(text: str, planner: Planner) -> str:
    """`text` with what stands between the marks replaced by what the plans say."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(planner) + END + rest.split(END)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/ckpt")
    arguments = parser.parse_args()
    old = PAGE.read_text()
    with Planner(arguments.program.absolute()) as planner:
        new = page_with(old, planner)
    if arguments.check:
        return 0 if old == new else "README.md: the sizing table is stale: run tools/sizing.py"
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
