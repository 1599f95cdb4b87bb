"""A MaxText checkpoint's leaves as a model that llama.py runs: scanned, unscanned or quantized, as real Orbax restored them."""

import re

import numpy as np

from llama import Checkpoint
from maxtext_reference import LAYER, TOP, read_leaves

BITS = {"bfloat16": 16, "float16": 16, "float32": 32, "int8": 8, "int4": 8, "float8_e4m3fn": 8}  # as stored: int4 takes a byte
META_OF_LAYER = {leaf: name for name, (leaf, _) in LAYER.items()}
META_OF_TOP = {leaf: name for name, leaf in TOP.items()}
QUANTIZED = re.compile(r"(.*)/AqtDotGeneral_0/qrhs/frozen/(?:value/)?(qvalue|scale/0)")
LAYERS = re.compile(r"decoder/layers(?:_(\d+))?/(.*)")


def plain_name(path):
    """(name without collections, part) of a leaf; part is "qvalue" or "scale/0" of a quantized kernel, else None."""
    name = re.sub(r"^params/(params|aqt)/", "", path).removesuffix("/value")
    quantized = QUANTIZED.fullmatch(name)
    return (quantized[1] + "/kernel", quantized[2]) if quantized else (name, None)


def kernels(leaves):
    """{name: float32 values} with quantized kernels multiplied out; the step is no weight."""
    plain, parts = {}, {}
    for path, leaf in leaves.items():
        name, part = plain_name(path)
        if part:
            parts.setdefault(name, {})[part] = leaf.float32()
        elif name != "step":
            plain[name] = leaf.float32()
    return {**plain, **{name: part["qvalue"] * part["scale/0"] for name, part in parts.items()}}


def out_in(name, kernel):
    """A kernel as Meta's [out, in]."""
    if kernel.ndim == 3:
        merged = (-1, kernel.shape[2]) if name == "attention.wo.weight" else (kernel.shape[0], -1)
        kernel = kernel.reshape(merged)
    return np.ascontiguousarray(kernel.T)


def load(leaves, config, interleaved=None):
    """The model of {path: Leaf}. Pairs of the rotary embedding lie interleaved where the model scales its frequencies as
    Llama 3.1 does, else in halves: that is what the server assumes by the model's name."""
    weights = {}
    for name, kernel in kernels(leaves).items():
        layer = LAYERS.fullmatch(name)
        if not layer:
            meta = META_OF_TOP[name]
            weights[meta] = np.ascontiguousarray(kernel.T) if meta == "output.weight" else kernel
            continue
        meta = META_OF_LAYER[layer[2]]
        if layer[1] is not None:
            weights[f"layers.{layer[1]}.{meta}"] = out_in(meta, kernel)
            continue
        for number in range(kernel.shape[1]):
            weights[f"layers.{number}.{meta}"] = out_in(meta, kernel[:, number])
    held = [(leaf.array.size, BITS[leaf.dtype]) for path, leaf in leaves.items() if path != "step"]
    values = sum(leaf.array.size for path, leaf in leaves.items() if path != "step" and plain_name(path)[1] != "scale/0")
    kinds = "+".join(sorted({leaf.dtype for path, leaf in leaves.items() if path != "step"}))
    if interleaved is None:
        interleaved = config.rope_factors is not None
    return Checkpoint(config, weights, interleaved, f"maxtext {kinds}", sum(n * bits for n, bits in held) / values,
                      is_query_scaled=True)


def load_file(npz, config):
    """The model of leaves that orbax_restore.py saved."""
    return load(read_leaves(npz), config)
