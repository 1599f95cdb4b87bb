#!/usr/bin/env python3
"""Measures how long `ckpt --version` takes from its start to its end, beside /bin/true. Limit: best of all under 50 ms."""

import argparse
import statistics
import subprocess
import sys
import time

from common import PROGRAM, save

LIMIT_MS = 50


def times_ms(command, runs):
    """Wall times of a command, started without a shell."""
    out = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        out.append(1000 * (time.perf_counter() - began))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="starts of each program (default 40)")
    arguments = parser.parse_args()
    result = {}
    for name, command in (("ckpt", [PROGRAM, "--version"]), ("true", ["/bin/true"])):
        values = times_ms(command, arguments.runs)
        result[name] = {"best_ms": min(values), "median_ms": statistics.median(values)}
        print(f"{name:5} best {min(values):6.2f} ms, median {statistics.median(values):6.2f} ms")
    save("startup", result)
    return 0 if result["ckpt"]["best_ms"] < LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
