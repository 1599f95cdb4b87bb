#!/usr/bin/env python3
"""The peer of the benchmark: Hugging Face Llama to JetStream-PyTorch as one would write it with numpy and safetensors.

  peer_numpy.py SOURCE DEST [bf16 | int8_per_channel | int4_blockwise | ...]

Whole tensors in memory, vectorised, nothing clever: what ckpt's speed and memory are compared with. Its output is equal
to ckpt's in every tensor, so both do the same job.
"""

import argparse
import json
import os
import sys

import numpy as np
from safetensors import TensorSpec, serialize_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/judge"))

import quantize_reference  # noqa: E402
from llama import meta_name_of_hf  # noqa: E402
from safetensors_file import SafetensorsFile  # noqa: E402


def interleave(rows, head_dim):
    """q and k rows from halves to pairs."""
    count, width = rows.shape
    halves = rows.reshape(count // head_dim, 2, head_dim // 2, width)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(count, width)


def convert(source, kind):
    """{name: (dtype, shape, bytes)} of the whole output."""
    with open(os.path.join(source, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    out = {}
    for shard in sorted(name for name in os.listdir(source) if name.endswith(".safetensors")):
        file = SafetensorsFile(os.path.join(source, shard))
        for name, entry in file.entries.items():
            bits = np.frombuffer(file.bytes_of(name), np.uint16).reshape(entry.shape)
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                bits = interleave(bits, head_dim)
            meta = meta_name_of_hf(name)
            if kind == "bf16":
                out[meta] = ("BF16", bits.shape, bits.tobytes())
            else:
                out.update(quantize_reference.quantize_tensor(meta, bits, kind))
    if config.get("tie_word_embeddings") and "output.weight" not in out:
        raise SystemExit("tied embeddings: not for this script")
    return out


def address(data):
    """Where a bytes object's content lies."""
    return np.frombuffer(data, np.uint8).ctypes.data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("dest")
    parser.add_argument("type", nargs="?", default="bf16", choices=["bf16", *quantize_reference.TYPES])
    arguments = parser.parse_args()
    words = {"BF16": "bfloat16", "I8": "int8"}
    arrays = convert(arguments.source, arguments.type)  # held until the file is written: the specs are bare addresses
    tensors = {name: TensorSpec(dtype=words[dtype], shape=shape, data_ptr=address(data), data_len=len(data))
               for name, (dtype, shape, data) in arrays.items()}
    os.makedirs(arguments.dest, exist_ok=True)
    path = os.path.join(arguments.dest, "model.safetensors")
    serialize_file(tensors, path, None)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
