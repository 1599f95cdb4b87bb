"""Compares sampled elements of a sparse model's MaxText outputs with what their source elements must be.

As sparse_check.py does for the other target: the source is computed, not read. A row of a source tensor [out, in] is what one
output channel of a kernel holds over its contracted axes, so whole rows are compared: the first, the last, planted ones, some at
random. TensorStore reads the outputs.
"""

import json
import random
import tempfile
from pathlib import Path

import numpy as np

import maxtext_reference
import real_orbax
from llama import meta_name_of_hf
from maxtext_reference import Leaf
from sparse_check import interleaved, planted_values
from support import make_model


class Sampler:
    """What rows to look at in a model of `shape`, planted every `every` bytes, and what they must be."""

    def __init__(self, shape, every, samples, interleaved, seed=0):
        self._shape, self._every, self._samples, self._interleaved = shape, every, samples, interleaved
        self._random = random.Random(seed)

    def _rows(self, name, extents):
        blocks = list(make_model.planted_blocks(name, extents, self._every))
        planted = [begin // (2 * extents[1]) for begin, _ in self._random.sample(blocks, min(len(blocks), self._samples))]
        return sorted({0, extents[0] - 1, *planted, self._random.randrange(extents[0])})

    def _channel(self, meta, row):
        """Index over the kernel's own axes of the output channel that a source row becomes; None: the whole axis."""
        d = self._shape.head_dim
        if meta.endswith(("wq.weight", "wk.weight", "wv.weight")):
            head, at = divmod(row, d)
            if self._interleaved and not meta.endswith("wv.weight"):
                at = interleaved(at, d)
            return [None, head, at]
        return [None, None, row] if meta.endswith("wo.weight") else [None, row]

    def parts(self, output):
        """(leaf path, index, expected Leaf) of every sample of one output."""
        for name, extents in self._shape.tensors():
            yield from self._parts_of(output, name, meta_name_of_hf(name), extents)

    def _parts_of(self, output, name, meta, extents):
        for row in self._rows(name, extents) if len(extents) == 2 else [0]:
            bits = planted_values(name, extents, row, self._every)
            if meta in maxtext_reference.TOP:
                index = [row, None] if meta == "tok_embeddings.weight" else [None, row] if len(extents) == 2 else [None]
                yield "params/params/" + maxtext_reference.TOP[meta], index, Leaf("bfloat16", bits)
                continue
            _, number, short = meta.split(".", 2)
            leaf, axes = maxtext_reference.LAYER[short]
            index = self._channel(short, row) if len(extents) == 2 else [None]
            if short == "attention.wo.weight":
                bits = bits.reshape(self._shape.heads, self._shape.head_dim)
            if short == "attention.wq.weight":
                values = Leaf("bfloat16", bits).float32() * np.float32(1 / np.sqrt(self._shape.head_dim))
                bits = maxtext_reference.bfloat16.from_float32(values)
            value = Leaf("bfloat16", bits)
            if output == "scanned":
                index.insert(1, int(number))
                yield "params/params/decoder/layers/" + leaf, index, value
            elif output == "unscanned" or axes is None:
                yield f"params/params/decoder/layers_{number}/{leaf}", index, value
            else:
                q, scale = maxtext_reference.quantize(value, tuple(range(value.array.ndim)), output)
                at = f"params/aqt/decoder/layers_{number}/{leaf.removesuffix('/kernel')}/AqtDotGeneral_0/qrhs/frozen/"
                yield at + "qvalue", index, q
                yield at + "scale/0", [0 if at is None else at for at in index], Leaf("bfloat16", scale.array.reshape(()))


def check(folder, output, sampler):
    """Compares every sample; returns the number of elements. Raises AssertionError with the place."""
    parts = list(sampler.parts(output))
    with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
        wanted, found = Path(scratch, "wanted.json"), Path(scratch, "found.npz")
        wanted.write_text(json.dumps({"path": str(folder), "parts": [[path, index] for path, index, _ in parts]}))
        real_orbax.run_script(real_orbax.NEWEST, "orbax_sample.py", wanted, found)
        read = np.load(found)
        elements = 0
        for number, (path, index, expected) in enumerate(parts):
            made = read[str(number)]
            assert made.shape == expected.array.shape, f"{path} {index}: shape {made.shape}, expected {expected.array.shape}"
            assert np.array_equal(made, expected.array), f"{path} {index}: {made}, expected {expected.array}"
            elements += made.size
    return elements
