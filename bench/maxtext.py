#!/usr/bin/env python3
"""Compares conversions to MaxText outputs with `cp` + sync of the source, and with real Orbax.

For each model and set of outputs ckpt and cp alternate, so that both see the same disk and neighbours, and the best wall time of
each counts. The figure is bytes moved (in and out) per second over cp's, which moves every byte of the source in and out. Cold:
the input has left the page cache; cached: it was just read. Both end durable. For the smaller model, the real Orbax then saves
the unscanned arrays from memory (it reads nothing and casts nothing), and restores our checkpoint beside its own.
"""

import argparse
import json
import shutil
import sys

from common import DATA, GB, ROOT, Contest, copy_source, lock_test_data, preset, save

import real_orbax
import support

SETS = {"unscanned": ("unscanned",), "two": ("scanned", "unscanned"), "three": ("scanned", "unscanned", "int8")}
MOST_GROWTH = {"unscanned": 1.0, "two": 2.0, "three": 2.5}  # of the outputs over the source, but for a tied head
LEAST_RATIO = 1.0


class Case(Contest):
    """One model, set of outputs and state of the page cache."""

    def __init__(self, model, outputs, cached, flags, scratch):
        super().__init__(model, cached, flags, scratch)
        self.name = outputs

    def convert(self):
        return self.converted("maxtext", "--outputs", ",".join(SETS[self.name]))

    def run(self, runs):
        self.convert()  # once unmeasured: tells the output's size
        read = sum(path.stat().st_size for path in self.shards)
        written = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())
        source = copy_source(self.shards, read, self.out.parent)
        theirs, ours = [], []
        for _ in range(runs):
            theirs.append(self.cp(source))
            ours.append(self.convert())
        source.unlink()
        self.copy.unlink(missing_ok=True)  # the output stays, for Orbax
        return self._result(read, written, ours, theirs)

    def _result(self, read, written, ours, theirs):
        best, copy = (min(runs, key=lambda run: run["wall_s"]) for runs in (ours, theirs))
        speed, copy_speed = (read + written) / best["wall_s"] / GB, 2 * read / copy["wall_s"] / GB
        return {
            "model": self.model.name, "outputs": self.name, "cached": self.cached, "read_bytes": read, "written_bytes": written,
            "ckpt": best, "cp": copy, "moved_gb_per_s": speed, "cp_moved_gb_per_s": copy_speed, "ratio": speed / copy_speed,
            "cpu_s_per_gb_moved": min(run["cpu_s"] for run in ours) / ((read + written) / GB),
            "all_wall_s": {"ckpt": [run["wall_s"] for run in ours], "cp": [run["wall_s"] for run in theirs]},
        }


def show(result):
    ours, copy = result["ckpt"], result["cp"]
    print(f"{result['model']:6} {result['outputs']:9} {'cached' if result['cached'] else 'cold':6} | {ours['wall_s']:6.2f}s"
          f" {result['moved_gb_per_s']:5.2f} {ours['cpu_s']:5.2f}s {result['cpu_s_per_gb_moved']:5.3f}"
          f" {ours['peak_rss_bytes'] / 2**20:7.0f} | {copy['wall_s']:6.2f}s {result['cp_moved_gb_per_s']:5.2f} |"
          f" {result['ratio']:5.2f}", flush=True)


def beside_orbax(items, scratch, runs):
    """What orbax_peer.py measures of the checkpoint at `items`."""
    asked, answered = scratch / "orbax-job.json", scratch / "orbax-result.json"
    asked.write_text(json.dumps({"ours": str(items), "scratch": str(scratch), "runs": runs}))
    real_orbax.run_script(real_orbax.NEWEST, ROOT / "bench/orbax_peer.py", asked, answered, timeout=3600)
    return json.loads(answered.read_text())


def show_orbax(result, ours):
    """Orbax's save beside our conversion to the same arrays, and both restores."""
    best = min(run["wall_s"] for run in result["saves"])
    print(f"orbax {real_orbax.NEWEST} saves these {result['bytes'] / GB:.2f} GB from memory in {best:.2f} s"
          f" ({result['stored_bytes'] / GB:.2f} GB on disk); ckpt reads, converts and writes them in {ours:.2f} s")
    for way, times in result["restores_s"].items():
        mine, own = min(times["ours"]), min(times["orbax"])
        print(f"restored by orbax, {way:10}: ours {mine:.2f} s, its own {own:.2f} s, ratio {own / mine:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=["bench", "8gb"], help="default: both")
    parser.add_argument("--outputs", action="append", choices=SETS, help="default: all three sets")
    parser.add_argument("--input", action="append", choices=["cold", "cached"], help="default: both")
    parser.add_argument("--runs", type=int, default=5, help="alternations for each case (default 5)")
    parser.add_argument("--orbax-runs", type=int, default=3, help="of Orbax's saves and restores; 0: none (default 3)")
    parser.add_argument("--gate", action="store_true", help="exit 1 where the ratio misses its limit")
    parser.add_argument("--name", default="maxtext", help="of the JSON file below build/bench (default maxtext)")
    parser.add_argument("flags", nargs="*", help="after --: more arguments for ckpt, such as --memory 256MiB")
    arguments = parser.parse_args()
    lock_test_data()
    scratch = DATA / "bench-scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    results, missed, orbax = [], [], None
    print(f"{'model':6} {'outputs':9} {'input':6} | {'ckpt':>7} {'GB/s':>5} {'CPU':>6} {'s/GB':>5} {'RSS MiB':>7} |"
          f" {'cp+sync':>7} {'GB/s':>5} | {'ratio':>5}")
    for model in arguments.model or ["bench", "8gb"]:
        folder = preset(model)
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        for outputs in arguments.outputs or SETS:
            needed, free = size * (MOST_GROWTH[outputs] + 2) + 2 * GB, shutil.disk_usage(DATA).free
            if free < needed:
                raise SystemExit(f"{DATA}: {free / GB:.0f} GB free, {needed / GB:.0f} GB needed for {model} to {outputs}")
            for state in arguments.input or ["cold", "cached"]:
                case = Case(folder, outputs, state == "cached", arguments.flags, scratch)
                result = case.run(arguments.runs)
                show(result)
                results.append(result)
                if result["ratio"] < LEAST_RATIO:
                    missed.append(f"{model} {outputs} {state}")
            if arguments.orbax_runs and model == "bench" and outputs == "unscanned":
                orbax = beside_orbax(support.items(case.out, "unscanned"), scratch, arguments.orbax_runs)
                show_orbax(orbax, result["ckpt"]["wall_s"])
    shutil.rmtree(scratch)
    save(arguments.name, {"runs": arguments.runs, "flags": arguments.flags, "results": results, "orbax": orbax})
    print(f"misses the ratio of {LEAST_RATIO}: {', '.join(missed)}" if missed else f"all reach the ratio of {LEAST_RATIO}")
    return 1 if missed and arguments.gate else 0


if __name__ == "__main__":
    sys.exit(main())
