#!/usr/bin/env python3
"""Times real Orbax: saving arrays from memory, and restoring its own checkpoint beside ours: orbax_peer.py JOB.json RESULT.json

Runs inside an environment of one Orbax generation. JOB: {"ours": items folder, "scratch": folder, "runs": N}. The arrays are
those of our checkpoint, on one device. Saving ends with a sync of the file system, as our own figure does. Restores alternate
between the two checkpoints, whole to one device and cut over 8 devices along the first or the last axis; the files are in the
page cache.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/judge"))

import orbax_restore  # noqa: E402  sets what jax must see before its first import
import jax  # noqa: E402
import numpy as np  # noqa: E402
import orbax.checkpoint as ocp  # noqa: E402
from etils import epath  # noqa: E402

DEVICES = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
WAYS = ("whole", "first axis", "last axis")


def sharding_of(shape, way):
    """One device, or the named axis over all eight where they divide it (else every device gets it all)."""
    if way == "whole":
        return jax.sharding.SingleDeviceSharding(jax.devices()[0])
    axes = [None] * len(shape)
    cut = 0 if way == "first axis" else len(shape) - 1
    if shape and shape[cut] % DEVICES.size == 0:
        axes[cut] = "x"
    return jax.sharding.NamedSharding(DEVICES, jax.sharding.PartitionSpec(*axes))


def restored(path, shapes, way):
    """The arrays of a checkpoint, and the seconds until the last of them is there."""
    target = orbax_restore.target_of(shapes, lambda shape: sharding_of(shape, way))
    began = time.monotonic()
    tree = ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(epath.Path(path), **target)
    jax.block_until_ready(tree)
    return tree, time.monotonic() - began


def shapes_of(path):
    """The tree of (dtype, shape) of a checkpoint's weights, as TensorStore sees them."""
    arrays = orbax_restore.stored_arrays(path)
    return orbax_restore.nested({name: (np.dtype(array.dtype.numpy_dtype), tuple(array.shape))
                                 for name, array in arrays.items() if name != "step"})


def save(path, tree):
    """Seconds of wall time and CPU of one durable save."""
    shutil.rmtree(path, ignore_errors=True)
    os.sync()
    began, cpu = time.monotonic(), time.process_time()
    ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=True)).save(epath.Path(path), tree)
    os.sync()
    return {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu}


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 64
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    theirs = job["scratch"] + "/orbax-own"
    shapes = shapes_of(job["ours"])
    tree, _ = restored(job["ours"], shapes, "whole")
    size = sum(leaf.nbytes for leaf in jax.tree_util.tree_leaves(tree))
    saves = [save(theirs, tree) for _ in range(job["runs"])]
    del tree
    times = {way: {"ours": [], "orbax": []} for way in WAYS}
    for _ in range(job["runs"]):
        for way in WAYS:
            for name, path in (("ours", job["ours"]), ("orbax", theirs)):
                times[way][name].append(restored(path, shapes, way)[1])
    written = sum(file.stat().st_size for file in Path(theirs).rglob("*") if file.is_file())
    shutil.rmtree(theirs)
    Path(sys.argv[2]).write_text(json.dumps({"bytes": size, "stored_bytes": written, "saves": saves, "restores_s": times}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
