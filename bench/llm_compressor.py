#!/usr/bin/env python3
"""Compares `--to hf --quantize` with llm-compressor's own way without a model, file by file: `model_free_ptq`, on this machine's CPU.

Both read the same Hugging Face Llama in the page cache and leave the same tensors on the disk, written through; they alternate, and the
best wall time of each counts. llm-compressor's is given net of its imports, which are told apart, and its memory as the whole process's
peak and as what was added after the imports. Before the first run of a scheme its output is compared with ckpt's (--ct-arithmetic cpu).
Runs in the environment of `./dev judge full`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

from common import DATA, GB, RESULTS, ROOT, Contest, lock_test_data, measured, preset, save

from safetensors_file import SafetensorsFile

TYPES = {"fp8-dynamic": "FP8_DYNAMIC", "w8a16": "W8A16", "w4a16": "W4A16"}
MIB = 1 << 20


class Case(Contest):
    """One scheme; `run` alternates the two."""

    def __init__(self, model, kind, flags, scratch):
        super().__init__(model, True, flags, scratch)
        self.kind = kind

    def convert(self, *flags):
        return self.converted("hf", "--quantize", self.kind, *flags)

    def peer(self, workers):
        self.prepare(self.shards)
        with tempfile.NamedTemporaryFile("r", suffix=".json") as told:
            whole = measured(sys.executable, ROOT / "bench/llm_compressor_peer.py", self.model, self.out, TYPES[self.kind], told.name,
                             workers)
            return {**whole, **json.load(told)}

    def tensors(self):
        """{name: bytes}, mapped: valid until the folder goes."""
        files = [SafetensorsFile(path) for path in sorted(self.out.glob("*.safetensors"))]
        return {name: file.bytes_of(name) for file in files for name in file.entries}

    def run(self, runs, workers):
        self.convert("--ct-arithmetic", "cpu")
        ours = self.tensors()
        written = sum(path.stat().st_size for path in self.out.glob("*.safetensors"))
        self.out.rename(self.out.with_name("ours"))
        self.peer(workers)
        theirs = self.tensors()
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        del ours, theirs
        shutil.rmtree(self.out.with_name("ours"))
        mine, peers = [], []
        for _ in range(runs):
            peers.append(self.peer(workers))
            mine.append(self.convert())
        self.prepare([])
        best, peer = min(mine, key=lambda run: run["wall_s"]), min(peers, key=lambda run: run["work_s"])
        return {
            "model": self.model.name, "type": self.kind, "read_bytes": sum(path.stat().st_size for path in self.shards),
            "written_bytes": written, "different_tensors": different, "workers": workers, "ckpt": best, "llmcompressor": peer,
            "ratio": peer["work_s"] / best["wall_s"], "rss_ratio": peer["peak_rss_bytes"] / best["peak_rss_bytes"],
            "all_wall_s": {"ckpt": [run["wall_s"] for run in mine], "llmcompressor": [run["work_s"] for run in peers]},
        }


def show(result):
    ours, theirs = result["ckpt"], result["llmcompressor"]
    print(f"{result['model']:6} {result['type']:12} | {ours['wall_s']:6.2f}s {ours['cpu_s']:6.2f}s {ours['peak_rss_bytes'] / MIB:7.0f} |"
          f" {theirs['work_s']:6.2f}s {theirs['cpu_s'] - theirs['import_cpu_s']:6.2f}s {theirs['import_s']:7.2f}s"
          f" {theirs['peak_rss_bytes'] / MIB:7.0f} {(theirs['peak_rss_bytes'] - theirs['import_rss_bytes']) / MIB:7.0f} |"
          f" {result['ratio']:5.1f} {result['rss_ratio']:5.1f} | {len(result['different_tensors'])}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--type", action="append", choices=TYPES, help="default: all")
    parser.add_argument("--runs", type=int, default=5, help="alternations for each scheme (default 5)")
    parser.add_argument("--workers", type=int, default=1, help="llm-compressor's max_workers (default 1, as its own)")
    parser.add_argument("--name", default="llm_compressor", help="of the JSON file below build/bench (default llm_compressor)")
    parser.add_argument("flags", nargs="*", help="after --: more arguments for ckpt, such as --memory 256MiB")
    arguments = parser.parse_args()
    # The environment holds no compiled Python, and what is imported on the way would count: the unmeasured run compiles it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(RESULTS / "pycache")
    lock_test_data()
    if shutil.disk_usage(DATA.parent).free < 5 * GB:
        raise SystemExit(f"{DATA}: 5 GB are needed")
    scratch = DATA / "bench-scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # what a run that was stopped has left
    scratch.mkdir(parents=True, exist_ok=True)
    print(f"{'model':6} {'type':12} | {'ckpt':>7} {'CPU':>7} {'RSS MiB':>7} |"
          f" {'llm-c.':>7} {'CPU':>7} {'imports':>8} {'RSS MiB':>7} {'added':>7} | {'time':>5} {'RSS':>5} | other tensors")
    results = []
    for kind in arguments.type or TYPES:
        results.append(Case(preset("bench"), kind, arguments.flags, scratch).run(arguments.runs, arguments.workers))
        show(results[-1])
    shutil.rmtree(scratch)
    save(arguments.name, {"runs": arguments.runs, "flags": arguments.flags, "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
