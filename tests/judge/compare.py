#!/usr/bin/env python3
"""Compares two safetensors files tensor by tensor: name, dtype, shape and bytes (not their order in the file).

Standard library only. Exit 0 when equal, 1 when not, with every difference on its own line.
"""

import argparse
import os
import sys

from safetensors_file import SafetensorsFile


def first_difference(a, b):
    """Index of the first byte in which two equally long buffers differ, or None."""
    step = 1 << 20
    for at in range(0, len(a), step):
        left, right = a[at : at + step], b[at : at + step]
        if left != right:
            return at + next(i for i, (x, y) in enumerate(zip(left, right)) if x != y)
    return None


def differences(ours, theirs):
    """The list of what differs between two files, as sentences; empty when every tensor is equal."""
    a, b = SafetensorsFile(ours), SafetensorsFile(theirs)
    found = [f"{name}: only in {a.path}" for name in a.entries if name not in b.entries]
    found += [f"{name}: only in {b.path}" for name in b.entries if name not in a.entries]
    for name in a.entries.keys() & b.entries.keys():
        x, y = a.entries[name], b.entries[name]
        if (x.dtype, x.shape) != (y.dtype, y.shape):
            found.append(f"{name}: {x.dtype} {list(x.shape)} against {y.dtype} {list(y.shape)}")
            continue
        at = first_difference(a.bytes_of(name), b.bytes_of(name))
        if at is not None:
            found.append(f"{name}: first differs at byte {at} of {x.end - x.begin}")
    return found


def model_file(path):
    """The file itself, or the model.safetensors of a folder."""
    return os.path.join(path, "model.safetensors") if os.path.isdir(path) else path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", help="a safetensors file, or a folder that holds model.safetensors")
    parser.add_argument("theirs", help="the file or folder to compare with")
    arguments = parser.parse_args()
    found = differences(model_file(arguments.ours), model_file(arguments.theirs))
    for line in found:
        print(line)
    print("equal" if not found else f"{len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
