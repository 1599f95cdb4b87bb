#!/usr/bin/env python3
"""Restores checkpoints with the real Orbax and TensorStore: orbax_restore.py JOBS.json RESULT.json

Runs inside an environment of one Orbax generation; real_orbax.py makes the jobs and the environments. One process does many jobs,
as importing jax takes seconds. JOBS: {"jobs": [{"path": folder, "way": word, "tree": {path: [dtype, shape]}, "save": file.npz}]}.
Ways:
    args         Checkpointer(PyTreeCheckpointHandler) with a target tree, restore arguments and transforms={}, as MaxText does
    whole        the handler with arguments made of the checkpoint's own metadata, to numpy; tells empty nodes, too
    manager      CheckpointManager over the folder of steps that holds `path`; also tells the steps it lists
    tensorstore  TensorStore alone, by the keys that it finds itself
    sharded      as args, each array cut over 8 devices (4 x 2, two axes of the array)
    steps        restores nothing: the steps that a CheckpointManager lists below `path`
RESULT: per job {"leaves": {path: [dtype, shape, sha256]}, "empty": {path: kind}} or {"error": text}; tensorstore adds "chunks",
steps "steps".
A job with "is_gcs" is restored as if its path lay on Cloud Storage: there a checkpoint is finished by its marker, not by its name. For
the newest generation.
int4 elements are hashed and saved as one int8 each; bf16 and fp8 are saved as bit patterns.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before jax is imported

import contextlib  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import orbax.checkpoint as ocp  # noqa: E402
import tensorstore as ts  # noqa: E402
from etils import epath  # noqa: E402

MESH = jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))


def nested(flat):
    """{"a/b/0": v} as dicts and, where all keys are numbers, lists: scale/0 is a list's element."""
    out = {}
    for path, value in flat.items():
        *parents, last = path.split("/")
        node = out
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = value
    return _with_lists(out)


def _with_lists(node):
    if not isinstance(node, dict):
        return node
    children = {key: _with_lists(child) for key, child in node.items()}
    if children and all(key.isdecimal() for key in children):
        return [children[str(number)] for number in range(len(children))]
    return children


def walk(node, path=""):
    """(path, leaf) of everything below a node; empty containers and None count as leaves."""
    if isinstance(node, dict) and node:
        pairs = node.items()
    elif isinstance(node, (list, tuple)) and node:
        pairs = enumerate(node)
    else:
        yield path, node
        return
    for key, child in pairs:
        yield from walk(child, f"{path}/{key}" if path else str(key))


EMPTY = {dict: "Dict", list: "List", tuple: "Tuple", type(None): "None"}


def plain(value):
    """(dtype name, numpy array) of a restored leaf; types that numpy lacks as bit patterns, int4 as int8."""
    array = np.asarray(value)
    name = array.dtype.name
    if name == "int4":
        return name, array.astype(np.int8)
    if name == "bfloat16":
        return name, np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)  # contiguous makes one axis of none
    if name.startswith("float8"):
        return name, np.ascontiguousarray(array).view(np.uint8).reshape(array.shape)
    return name, array


def told(tree):
    """The result of a job, and the arrays for `save`."""
    leaves, empty, arrays = {}, {}, {}
    for path, value in walk(tree):
        if type(value) in EMPTY:
            empty[path] = EMPTY[type(value)]
            continue
        name, array = plain(value)
        leaves[path] = [name, list(array.shape), hashlib.sha256(np.ascontiguousarray(array)).hexdigest()]
        arrays[f"{path}|{name}"] = array
    return {"leaves": leaves, "empty": empty}, arrays


def sharding_of(shape, sharded):
    """On one device, or cut over all eight: the first axis that 4 divides, and the last other one that 2 divides."""
    if not sharded:
        return jax.sharding.SingleDeviceSharding(jax.devices()[0])
    axes = [None] * len(shape)
    first = next((axis for axis, extent in enumerate(shape) if extent % 4 == 0), None)
    if first is not None:
        axes[first] = "x"
    last = next((axis for axis in reversed(range(len(shape))) if axis != first and shape[axis] % 2 == 0), None)
    if last is not None:
        axes[last] = "y"
    return jax.sharding.NamedSharding(MESH, jax.sharding.PartitionSpec(*axes))


def is_described(leaf):
    return isinstance(leaf, tuple)


def target_of(tree, sharding):
    """What restores a tree of (dtype, shape), each shape with `sharding(shape)`: keywords for Checkpointer.restore."""
    item = jax.tree_util.tree_map(lambda leaf: jax.ShapeDtypeStruct(leaf[1], leaf[0]), tree, is_leaf=is_described)
    arguments = jax.tree_util.tree_map(
        lambda leaf: ocp.ArrayRestoreArgs(restore_type=jax.Array, dtype=leaf[0], sharding=sharding(leaf[1])),
        tree, is_leaf=is_described)
    return {"item": item, "transforms": {}, "restore_args": arguments}


def by_args(job, sharded=False):
    """The weights: the step is left to extra leaves, as a server does."""
    flat = {path: (np.dtype(row[0]), tuple(row[1])) for path, row in job["tree"].items() if path != "step"}
    target = target_of(nested(flat), lambda shape: sharding_of(shape, sharded))
    tree = ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(epath.Path(job["path"]), **target)
    if sharded:
        for path, value in walk(tree):
            assert value.sharding == sharding_of(value.shape, True), f"{path} came back unsharded"
    return tree


def arguments_of(metadata):
    """Restore arguments to numpy for what a checkpoint says of itself."""
    tree = getattr(metadata, "tree", metadata)
    return jax.tree_util.tree_map(
        lambda m: ocp.RestoreArgs(restore_type=np.ndarray) if getattr(m, "shape", None) is not None else ocp.RestoreArgs(),
        tree)


def whole(job):
    handler = ocp.PyTreeCheckpointHandler()
    path = epath.Path(job["path"])
    return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=arguments_of(handler.metadata(path))))


def by_manager(job):
    items = epath.Path(job["path"])
    step, root = items.parent.name, items.parent.parent
    handler = ocp.PyTreeCheckpointHandler()
    with ocp.CheckpointManager(root, item_names=("items",)) as manager:
        steps = list(manager.all_steps())
        if int(step) not in steps:
            raise ValueError(f"step {step} is not listed: {steps}")
        arguments = arguments_of(handler.metadata(items))
        restored = manager.restore(int(step), args=ocp.args.Composite(
            items=ocp.args.PyTreeRestore(restore_args=arguments)))
    return restored["items"]


def steps_of(job):
    """No leaves: the steps that a manager lists below `path`."""
    with ocp.CheckpointManager(epath.Path(job["path"]), item_names=("items",)) as manager:
        return {"leaves": {}, "empty": {}, "steps": list(manager.all_steps())}


def stored_arrays(folder):
    """{path: open TensorStore array} of every array below a folder, found by its keys alone."""
    folder = folder.rstrip("/") + "/"
    is_ocdbt = os.path.exists(folder + "manifest.ocdbt")
    store = {"driver": "ocdbt", "base": "file://" + folder} if is_ocdbt else {"driver": "file", "path": folder}
    shared = ts.Context()  # else every array would open the database again
    keys = [key.decode() for key in ts.KvStore.open(store, context=shared).result().list().result()]
    out = {}
    for key in keys:
        for ending, driver in (("/zarr.json", "zarr3"), ("/.zarray", "zarr")):
            if key.endswith(ending):
                name = key.removesuffix(ending)
                where = {**store, "path": store.get("path", "") + name + "/"}
                out[name.replace(".", "/")] = ts.open({"driver": driver, "kvstore": where}, open=True, context=shared)
    return {path: future.result() for path, future in out.items()}


def by_tensorstore(job):
    """The arrays, with {path: chunk shape}."""
    arrays = stored_arrays(job["path"])
    reads = {path: array.read() for path, array in arrays.items()}
    result, values = told(nested({path: read.result() for path, read in reads.items()}))
    chunks = {path: list(array.chunk_layout.write_chunk.shape or ()) for path, array in arrays.items()}
    return {**result, "chunks": chunks}, values


WAYS = {
    "args": by_args, "sharded": lambda job: by_args(job, True), "whole": whole, "manager": by_manager,
}


@contextlib.contextmanager
def as_if_in_gcs(job):
    """While a job runs that says so."""
    if not job.get("is_gcs"):
        yield
        return
    from orbax.checkpoint._src.path import gcs_utils  # other generations have it elsewhere

    plainly = gcs_utils.is_gcs_path
    gcs_utils.is_gcs_path = lambda path: True
    try:
        yield
    finally:
        gcs_utils.is_gcs_path = plainly


def run(job):
    with as_if_in_gcs(job):
        return run_plainly(job)


def run_plainly(job):
    try:
        if job["way"] == "steps":
            return steps_of(job)
        result, arrays = by_tensorstore(job) if job["way"] == "tensorstore" else told(WAYS[job["way"]](job))
    except BaseException as error:  # whatever a reader does with a damaged file is an answer
        return {"error": f"{type(error).__name__}: {str(error)[:600]}"}
    if job.get("save"):
        np.savez(job["save"], **arrays)
    return result


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 64
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)["jobs"]
    results = [run(job) for job in jobs]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"versions": {"tensorstore": getattr(ts, "__version__", ""), "jax": jax.__version__}, "results": results}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
