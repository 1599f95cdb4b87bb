#!/usr/bin/env python3
"""Compares conversions with `cp` + sync of as many bytes, and with a plain numpy script that does the same job.

For each model and type: ckpt and cp alternate, so that both see the same disk and neighbours, and the best wall time of
each counts. A conversion that reads X and writes Y bytes is held against the copy of a file of (X + Y) / 2 bytes: both move
X + Y. Cold: the input has left the page cache; cached: it was just read. Outputs are removed before each run, and ckpt makes
its output durable before it ends, as `sync FILE` does for cp. The figure is bytes moved per second over cp's:
at least 1.0, with at most 0.25 core-seconds of CPU per GB read.
"""

import argparse
import shutil
import sys

from common import DATA, GB, ROOT, Contest, copy_source, lock_test_data, measured, preset, save

TYPES = ("bf16", "int8_per_channel", "int4_blockwise")
HF_TYPES = ("bf16", "w8a16", "w4a16", "w4a16-asym", "w8a8", "fp8-dynamic", "fp8-block")  # --to hf: without a numpy script
LEAST_RATIO = 1.0
MOST_CPU_S_PER_GB = 0.25


class Case(Contest):
    """One model, type and state of the page cache; `run` alternates the contestants."""

    def __init__(self, model, target, kind, cached, flags, scratch):
        super().__init__(model, cached, flags, scratch)
        self.target, self.kind = target, kind

    def convert(self):
        quantize = [] if self.kind == "bf16" else ["--quantize", self.kind]
        return self.converted(self.target, *quantize)

    def peer(self):
        self.prepare(self.shards)
        return measured(sys.executable, ROOT / "bench/peer_numpy.py", self.model, self.out, self.kind)

    def run(self, runs, peer_runs):
        self.convert()  # once unmeasured: tells the output's size
        read = sum(path.stat().st_size for path in self.shards)
        written = sum(path.stat().st_size for path in self.out.glob("*.safetensors"))
        source = copy_source(self.shards, min((read + written) // 2, read), self.out.parent)
        ours, theirs, peers = [], [], []
        for number in range(runs):
            theirs.append(self.cp(source))
            ours.append(self.convert())
            if number < peer_runs:
                peers.append(self.peer())
        self.prepare([])
        source.unlink()
        return self._result(read, written, ours, theirs, peers)

    def _result(self, read, written, ours, theirs, peers):
        best, copy = (min(runs, key=lambda run: run["wall_s"]) for runs in (ours, theirs))
        peer = min(peers, key=lambda run: run["wall_s"]) if peers else None
        moved = read + written
        return {
            "model": self.model.name, "target": self.target, "type": self.kind, "cached": self.cached, "read_bytes": read,
            "written_bytes": written, "ckpt": best, "cp": copy, "peer": peer,
            "moved_gb_per_s": moved / best["wall_s"] / GB, "cp_moved_gb_per_s": moved / copy["wall_s"] / GB,
            "ratio": copy["wall_s"] / best["wall_s"], "cpu_s_per_gb_in": min(run["cpu_s"] for run in ours) / (read / GB),
            "peer_ratio": peer["wall_s"] / best["wall_s"] if peer else None,
            "all_wall_s": {"ckpt": [run["wall_s"] for run in ours], "cp": [run["wall_s"] for run in theirs],
                           "peer": [run["wall_s"] for run in peers]},
        }


def show_header():
    print(f"{'model':6} {'type':17} {'input':6} | {'ckpt':>7} {'GB/s':>5} {'CPU':>6} {'s/GB':>5} {'RSS MiB':>7} |"
          f" {'cp+sync':>7} {'GB/s':>5} {'CPU':>6} | {'ratio':>5} | {'numpy':>7} {'RSS MiB':>7} {'ratio':>5}")


def show(result):
    ours, copy, peer = result["ckpt"], result["cp"], result["peer"]
    text = (f"{result['model']:6} {result['type']:17} {'cached' if result['cached'] else 'cold':6} |"
            f" {ours['wall_s']:6.2f}s {result['moved_gb_per_s']:5.2f} {ours['cpu_s']:5.2f}s {result['cpu_s_per_gb_in']:5.3f}"
            f" {ours['peak_rss_bytes'] / 2**20:7.0f} | {copy['wall_s']:6.2f}s {result['cp_moved_gb_per_s']:5.2f}"
            f" {copy['cpu_s']:5.2f}s | {result['ratio']:5.2f} |")
    if peer:
        text += f" {peer['wall_s']:6.2f}s {peer['peak_rss_bytes'] / 2**20:7.0f} {result['peer_ratio']:5.1f}"
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=["bench", "8gb"], help="default: both")
    parser.add_argument("--to", default="jetstream-pytorch", choices=["jetstream-pytorch", "hf"])
    parser.add_argument("--type", action="append", help="default: all of the target")
    parser.add_argument("--input", action="append", choices=["cold", "cached"], help="default: both")
    parser.add_argument("--runs", type=int, default=5, help="alternations for each case (default 5)")
    parser.add_argument("--peer-runs", type=int, default=2, help="of them with the numpy script, for `bench` (default 2)")
    parser.add_argument("--gate", action="store_true", help="exit 1 where the ratio or the CPU time misses its limit")
    parser.add_argument("--name", default="convert", help="of the JSON file below build/bench (default convert)")
    parser.add_argument("flags", nargs="*", help="after --: more arguments for ckpt, such as --memory 256MiB")
    arguments = parser.parse_args()
    types = HF_TYPES if arguments.to == "hf" else TYPES
    if unknown := [kind for kind in arguments.type or [] if kind not in types]:
        parser.error(f"unknown: {' '.join(unknown)}; {arguments.to} has {' '.join(types)}")
    results, missed = [], []
    lock_test_data()
    scratch = DATA / "bench-scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    show_header()
    for model in arguments.model or ["bench", "8gb"]:
        needed = 5 * 10**9 if model == "bench" else 34 * 10**9
        free = shutil.disk_usage(DATA).free
        if free < needed:
            raise SystemExit(f"{DATA}: {free / GB:.0f} GB free, up to {needed / GB:.0f} GB needed for model {model}")
        for kind in arguments.type or types:
            for state in arguments.input or ["cold", "cached"]:
                case = Case(preset(model), arguments.to, kind, state == "cached", arguments.flags, scratch)
                has_peer = model == "bench" and arguments.to != "hf"
                result = case.run(arguments.runs, arguments.peer_runs if has_peer else 0)
                show(result)
                results.append(result)
                if result["ratio"] < LEAST_RATIO or result["cpu_s_per_gb_in"] > MOST_CPU_S_PER_GB:
                    missed.append(f"{model} {kind} {state}")
    shutil.rmtree(scratch)
    save(arguments.name, {"runs": arguments.runs, "flags": arguments.flags, "results": results})
    limits = f"ratio {LEAST_RATIO}, {MOST_CPU_S_PER_GB} core-s/GB"
    print(f"misses its limits ({limits}): {', '.join(missed)}" if missed else f"all within their limits ({limits})")
    return 1 if missed and arguments.gate else 0


if __name__ == "__main__":
    sys.exit(main())
