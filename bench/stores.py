#!/usr/bin/env python3
"""Measures reading from and writing to object stores over loopback, beside curl with as many connections.

The servers are those of tests/stubs, in processes of their own on the same cores: they send files by sendfile, and for writing
bench/sink.py drops what arrives. ckpt and curl alternate against the same server, and the best wall time of each counts:

    read      bench/store_bench.cc: the store's reader alone        curl --parallel, the same ranges, to /dev/null
    from      ckpt convert gs://... null:                           the same
    digests   ckpt inspect gs://... --digests                       the same
    write     bench/store_bench.cc: the store's writer alone        curl --parallel -T, parts of 16 MiB
    to        ckpt convert FOLDER gs://...                          the same
    through   ckpt convert ORG/NAME gs://... (hub to bucket)        ckpt convert FOLDER FOLDER, and FOLDER null:

Input files are in the page cache. The ratio is bytes per second over the other's: above 1, ckpt is faster. CPU is the client's own.
"""

import argparse
import collections
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common import DATA, GB, PROGRAM, ROOT, fill_cache, lock_test_data, measured, preset, save

sys.path.insert(0, str(ROOT / "tests/stubs"))

from started import FOLDER, Stub, started  # noqa: E402

SINK = os.path.relpath(ROOT / "bench/sink", FOLDER)  # it lies beside the stubs' folder
PART = 16 << 20
RANGE = 8 << 20  # of curl, where ckpt's own cannot be told
CASES = ("read", "from", "digests", "write", "to", "through")
METHODS = {"from": "converted_from", "to": "converted_to"}
MOVER = ROOT / "build/release/bench/store_bench"


def curl(config: Path, transfers: list[list[str]], connections: int) -> list[str]:
    """curl's command for transfers side by side; each is a list of lines of its configuration."""
    common = ["silent", "show-error", "fail", 'noproxy = "*"']
    config.write_text(f"parallel\nparallel-immediate\nparallel-max = {connections}\n" +
                      "\nnext\n".join("\n".join([*common, *lines]) for lines in transfers) + "\n")
    return ["curl", "-K", str(config)]


class Stores:
    """The cases, over one model."""

    def __init__(self, model: Path, scratch: Path, connections: int, runs: int):
        self.model, self.scratch, self.runs = model, scratch, runs
        self.connections = connections
        self.shards = sorted(model.glob("*.safetensors"))

    def ckpt(self, *words) -> list:
        return [PROGRAM, *words, "--connections", str(self.connections)]

    def convert(self, source, destination) -> list:
        return self.ckpt("convert", source, destination, "--to", "jetstream-pytorch", "--quiet")

    def alternated(self, contestants: dict[str, Callable[[], list]], moved: Callable[[], int]) -> dict:
        """Runs each in turn; the best of each, with the bytes that the server moved for it."""
        runs = collections.defaultdict(list)
        for _ in range(self.runs):
            for name, command in contestants.items():
                fill_cache(self.shards)
                figures = measured(*command())
                runs[name].append({**figures, "bytes": moved()})
        return {name: {**min(each, key=lambda run: run["wall_s"]),
                       "cpu_s_per_gb": min(run["cpu_s"] / run["bytes"] * GB for run in each),
                       "all_wall_s": [run["wall_s"] for run in each]} for name, each in runs.items()}

    def read(self) -> dict:
        return self._read_beside_curl([MOVER, "read", "gs://bkt/model", str(self.connections)])

    def converted_from(self) -> dict:
        return self._read_beside_curl(self.convert("gs://bkt/model", "null:"))

    def digests(self) -> dict:
        return self._read_beside_curl(self.ckpt("inspect", "gs://bkt/model", "--digests", "--json"))

    def _read_beside_curl(self, command: list) -> dict:
        buckets = self.scratch / "buckets"
        (buckets / "bkt").mkdir(parents=True)
        (buckets / "bkt/model").symlink_to(self.model)
        with started("gcs", "--folder", buckets, "--sums", DATA / "crc32c.json") as gcs:
            os.environ["STORAGE_EMULATOR_HOST"] = gcs.url
            measured(*command)  # once unmeasured: tells the ranges
            asked = collections.Counter(request["bytes_out"] for request in gcs.requests() if request["range"])
            size = max(asked, key=lambda bytes: asked[bytes] * bytes, default=RANGE)
            gcs.clear_requests()
            transfers = [[f'url = "{gcs.url}/bkt/model/{shard.name}"', f'range = "{at}-{min(at + size, end) - 1}"',
                          'output = "/dev/null"'] for shard in self.shards for end in [shard.stat().st_size]
                         for at in range(0, end, size)]
            contestants = {"curl": lambda: curl(self.scratch / "read.curl", transfers, self.connections),
                           "ckpt": lambda: command}
            result = self.alternated(contestants, lambda: self.sent(gcs, "bytes_out"))
        shutil.rmtree(buckets)
        return {**result, "range_bytes": size}

    @staticmethod
    def sent(stub: Stub, direction: str) -> int:
        total = sum(request[direction] for request in stub.requests())
        stub.clear_requests()
        return total

    def parts(self) -> list[Path]:
        """The model's bytes in files of one part each, as curl sends whole files only."""
        made = []
        for shard in self.shards:
            with shard.open("rb") as file:
                while block := file.read(PART):
                    made.append(self.scratch / f"part-{len(made)}")
                    made[-1].write_bytes(block)
        subprocess.run(["sync"], check=True)
        return made

    def write(self) -> dict:
        return self._sent_beside_curl(lambda name: [MOVER, "write", f"gs://bkt/{name}", str(self.connections), *self.shards])

    def converted_to(self) -> dict:
        return self._sent_beside_curl(lambda name: self.convert(self.model, f"gs://bkt/{name}"))

    def _sent_beside_curl(self, command: Callable[[str], list]) -> dict:
        parts, number = self.parts(), iter(range(10**6))
        with started(SINK, "--bucket", "bkt") as sink:
            os.environ["STORAGE_EMULATOR_HOST"] = sink.url

            def ours() -> list:
                return command(f"out-{next(number)}")

            def theirs() -> list:
                fill_cache(parts)
                return curl(self.scratch / "write.curl", [[f'url = "{sink.url}/bkt/{part.name}"', f'upload-file = "{part}"',
                                                           'output = "/dev/null"'] for part in parts], self.connections)

            result = self.alternated({"curl": theirs, "ckpt": ours}, lambda: self.sent(sink, "bytes_in"))
        for part in parts:
            part.unlink()
        return result

    def through(self) -> dict:
        number, size = iter(range(10**6)), sum(shard.stat().st_size for shard in self.shards)
        out = self.scratch / "out"

        def local() -> list:
            shutil.rmtree(out, ignore_errors=True)
            subprocess.run(["sync"], check=True)
            return self.convert(self.model, out)

        with started("hf", "--repo", f"org/bench={self.model}") as hub, \
                started(SINK, "--bucket", "bkt") as sink:
            os.environ.update(STORAGE_EMULATOR_HOST=sink.url, HF_ENDPOINT=hub.url)
            result = self.alternated({"local": local, "null": lambda: self.convert(self.model, "null:"),
                                      "ckpt": lambda: self.convert("org/bench", f"gs://bkt/out-{next(number)}")}, lambda: size)
        shutil.rmtree(out, ignore_errors=True)
        return result


def show(case: str, result: dict) -> None:
    ours = result["ckpt"]
    for name, figures in result.items():
        if not isinstance(figures, dict):
            continue
        ratio = ours["bytes"] / ours["wall_s"] / (figures["bytes"] / figures["wall_s"])
        figures["gb_per_s"] = figures["bytes"] / figures["wall_s"] / GB
        figures["ckpt_over_it"] = ratio
        print(f"{case:8} {name:6} {figures['wall_s']:6.2f} s {figures['gb_per_s']:6.2f} GB/s  CPU {figures['cpu_s_per_gb']:5.2f} s/GB"
              f"  RSS {figures['peak_rss_bytes'] / 2**20:5.0f} MiB" + ("" if name == "ckpt" else f"  ckpt : {name} {ratio:5.2f}"),
              flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--model", choices=["bench", "8gb"], default="bench", help="default: bench, 983.6 MB")
    parser.add_argument("--connections", type=int, default=16, help="of each client (default 16)")
    parser.add_argument("--runs", type=int, default=5, help="alternations for each case (default 5)")
    parser.add_argument("--name", default="stores", help="of the JSON file below build/bench (default stores)")
    arguments = parser.parse_args()
    if not shutil.which("curl"):
        raise SystemExit("curl is not there: install the package curl")
    for name in list(os.environ):  # nothing of the user's is sent to a stub, or goes through a proxy
        if name.startswith(("HF_", "GOOGLE_", "STORAGE_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    lock_test_data()
    scratch = DATA / "bench-scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    stores = Stores(preset(arguments.model), scratch, arguments.connections, arguments.runs)
    results = {}
    try:
        for case in arguments.case or CASES:
            results[case] = getattr(stores, METHODS.get(case, case))()
            show(case, results[case])
    finally:
        shutil.rmtree(scratch)
    save(arguments.name, {"runs": arguments.runs, "model": arguments.model, "connections": arguments.connections,
                          "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
