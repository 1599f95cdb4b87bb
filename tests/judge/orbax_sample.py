#!/usr/bin/env python3
"""Reads parts of a checkpoint's arrays with TensorStore alone: orbax_sample.py WANTED.json RESULT.npz

Runs inside an environment of one Orbax generation. WANTED: {"path": folder, "parts": [[leaf path, [index or null for each
axis]]]}; null takes the whole axis. RESULT: one array per part, under its number; bf16 and fp8 as bit patterns, int4 as int8.
"""

import json
import sys

import numpy as np

from orbax_restore import plain, stored_arrays


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 64
    with open(sys.argv[1], encoding="utf-8") as file:
        wanted = json.load(file)
    arrays = stored_arrays(wanted["path"])
    futures = [arrays[path][tuple(slice(None) if at is None else at for at in index)].read()
               for path, index in wanted["parts"]]
    np.savez(sys.argv[2], **{str(number): plain(future.result())[1] for number, future in enumerate(futures)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
