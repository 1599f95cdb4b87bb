#!/usr/bin/env python3
"""The JetStream-PyTorch quantizers in plain numpy: what the program's int8 and int4 output must equal bit for bit.

Origin of the formula: AI-Hypercomputer/jetstream-pytorch, jetstream_pt/quantize.py at jetstream-v0.2.3.
R(x) rounds to bf16, nearest even; every line is one float32 operation followed by R:
    m = max(max|w|, R(1e-5))    s = R(m / hi)    r = R(1 / s)    q = clamp(rint(R(w * r)), lo, hi)
Run as a program it quantizes the model.safetensors of a bf16 output: quantize_reference.py BF16_DIR TYPE OUT.safetensors
"""

import argparse
import sys

import numpy as np

import bfloat16
from safetensors_file import SafetensorsFile, encode

TYPES = ("int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
BLOCK = 128
EMBEDDING = "tok_embeddings.weight"
LINEAR = (
    "attention.wq.weight", "attention.wk.weight", "attention.wv.weight", "attention.wo.weight",
    "feed_forward.w1.weight", "feed_forward.w2.weight", "feed_forward.w3.weight",
)


def is_linear(name):
    return name == "output.weight" or name.endswith(LINEAR)


def quantize_axis(bits, axis, width):
    """int8 values and bf16 scale patterns of bf16 patterns, with one scale for each slice along `axis`."""
    hi, lo = float(2 ** (width - 1) - 1), float(-(2 ** (width - 1)))
    w = bfloat16.to_float32(bits)
    floor = bfloat16.round_float32(np.float32([1e-5]))
    m = np.maximum(np.abs(w).max(axis=axis, keepdims=True), floor)
    s = bfloat16.round_float32(m / np.float32(hi))
    r = bfloat16.round_float32(np.float32(1) / s)
    q = np.clip(np.rint(bfloat16.round_float32(w * r)), np.float32(lo), np.float32(hi)).astype(np.int8)
    return q, bfloat16.from_float32(s).squeeze(axis)


def quantize_rows(bits, width):
    """Per channel: bits [O, I] -> q [O, I], scale [O]. In bands, as float32 copies of an embedding are large."""
    bands = [quantize_axis(bits[at : at + 4096], 1, width) for at in range(0, len(bits), 4096)]
    return np.concatenate([q for q, _ in bands]), np.concatenate([s for _, s in bands])


def quantize_blocks(bits, width):
    """Blockwise: bits [O, I] -> q [S, 128, O], scale [S, O], or [O] when there is one block (the original squeezes)."""
    rows, columns = bits.shape
    if columns % BLOCK:
        raise ValueError(f"{columns} columns are no multiple of {BLOCK}")
    q, s = quantize_axis(bits.reshape(rows, columns // BLOCK, BLOCK), 2, width)
    scale = np.ascontiguousarray(s.T)
    return np.ascontiguousarray(q.transpose(1, 2, 0)), scale[0] if len(scale) == 1 else scale


def quantize_embedding(bits):
    """Always int8 per column: bits [V, D] -> q [V, D], scale [D]."""
    return quantize_axis(bits, 0, 8)


def quantize_tensor(name, bits, kind):
    """The output arrays of one bf16 tensor, as {name: (dtype, shape, bytes)}."""
    width = 8 if kind.startswith("int8") else 4
    if name == EMBEDDING:
        q, s = quantize_embedding(bits)
    elif is_linear(name):
        q, s = (quantize_rows if kind.endswith("per_channel") else quantize_blocks)(bits, width)
    else:
        return {name: ("BF16", bits.shape, bits.tobytes())}
    return {name: ("I8", q.shape, q.tobytes()), name + "_scaler": ("BF16", s.shape, s.tobytes())}


def quantize_file(path, kind):
    """Yields (name, (dtype, shape, bytes)) of every array that `kind` makes of a bf16 JetStream-PyTorch file."""
    file = SafetensorsFile(path)
    for name, entry in file.entries.items():
        if entry.dtype != "BF16":
            raise ValueError(f"{name} is {entry.dtype}: the reference starts from bf16")
        bits = np.frombuffer(file.bytes_of(name), np.uint16).reshape(entry.shape)
        yield from quantize_tensor(name, bits, kind).items()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bf16", help="folder of a bf16 output")
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out", help="file to write")
    arguments = parser.parse_args()
    tensors = dict(quantize_file(f"{arguments.bf16}/model.safetensors", arguments.type))
    with open(arguments.out, "wb") as out:
        out.write(encode(tensors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
