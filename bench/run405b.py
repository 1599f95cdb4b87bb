#!/usr/bin/env python3
"""Converts a model of Llama-3.1-405B's shape (812 GB of sparse files) into `null:`: to int8_per_channel for JetStream-PyTorch, or
with --to maxtext to the scanned, unscanned and int8 checkpoints of MaxText in one pass.

Everything but the disks: every byte is read (as holes), quantized, hashed and dropped. Prints wall time, rate and peak RSS.
The input is read with --io direct, as a model on a disk is: to the probe of --io auto holes look like a cached file.
"""

import argparse
import sys

from common import GB, PROGRAM, lock_test_data, measured, preset, save


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", default="jetstream-pytorch", choices=["jetstream-pytorch", "maxtext"])
    parser.add_argument("--type", help="jetstream-pytorch: bf16 or a quantize type (default int8_per_channel); maxtext: a list "
                                       "of outputs (default scanned,unscanned,int8)")
    parser.add_argument("flags", nargs="*", help="after --: more arguments for ckpt, such as --memory 256MiB")
    parser.add_argument("--io", default="direct", choices=["auto", "direct", "buffered"])
    arguments = parser.parse_args()
    lock_test_data()
    model = preset("405b")
    read = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    if arguments.to == "maxtext":
        kind = arguments.type or "scanned,unscanned,int8"
        wanted = ["--outputs", kind, "--model", "llama3.1-405b"]
    else:
        kind = arguments.type or "int8_per_channel"
        wanted = [] if kind == "bf16" else ["--quantize", kind]
    command = [PROGRAM, "convert", model, "null:", "--to", arguments.to, "--quiet", "--io", arguments.io, *wanted,
               *arguments.flags]
    print(f"{read / GB:.1f} GB in 191 files, {kind} for {arguments.to} into null:")
    figures = measured(*command)
    print(f"  wall {figures['wall_s']:.1f} s, {read / figures['wall_s'] / GB:.2f} GB/s in, "
          f"CPU {figures['cpu_s']:.1f} s ({figures['cpu_s'] / (read / GB):.3f} core-s/GB), "
          f"peak RSS {figures['peak_rss_bytes'] / 2**20:.0f} MiB")
    save("405b" if arguments.to == "jetstream-pytorch" else "405b-maxtext",
         {"to": arguments.to, "type": kind, "io": arguments.io, "flags": arguments.flags, "read_bytes": read, "run": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
