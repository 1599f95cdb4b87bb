"""Gemma as Kaggle releases it (zarr v2, one zstd chunk an array), read with libzstd alone, in Hugging Face's terms."""

import ctypes
import ctypes.util
import json
from pathlib import Path

import numpy as np


def _decompress(data, size):
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(size)
    made = zstd.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    assert made == size, made
    return out.raw


def arrays(folder):
    """{name, such as "layer_0/attn/q_einsum/w": bf16 bits}."""
    found = {}
    for meta in sorted(Path(folder, "transformer").rglob(".zarray")):
        told = json.loads(meta.read_text())
        shape = told["shape"]
        assert (told["dtype"], told["chunks"], told["order"]) == ("bfloat16", shape, "C"), meta
        data = _decompress((meta.parent / ".".join("0" for _ in shape)).read_bytes(), 2 * int(np.prod(shape)))
        name = str(meta.parent.relative_to(Path(folder, "transformer")))
        head, leaf = name.rsplit(".", 1)
        found[f"{head}/{leaf}"] = np.frombuffer(data, np.uint16).reshape(shape)
    return found


def tensors(folder):
    """{Hugging Face's name: (dtype, shape, bytes)}."""
    made = {}
    for name, bits in arrays(folder).items():
        if name == "embedder/input_embedding":
            made["model.embed_tokens"] = bits
            continue
        if name == "final_norm/scale":
            made["model.norm"] = bits
            continue
        layer, part = name.removeprefix("layer_").split("/", 1)
        at = f"model.layers.{layer}."
        heads = {"attn/q_einsum/w": ["q"], "attn/kv_einsum/w": ["k", "v"], "attn/qkv_einsum/w": ["q", "k", "v"]}.get(part)
        if heads:  # [heads, dim, width] each
            parts = bits[None] if bits.ndim == 3 else bits
            for letter, own in zip(heads, parts, strict=True):
                made[f"{at}self_attn.{letter}_proj"] = own.transpose(0, 2, 1).reshape(-1, own.shape[1])
        elif part == "attn/attn_vec_einsum/w":
            made[at + "self_attn.o_proj"] = bits.reshape(-1, bits.shape[2]).T
        elif part == "mlp/gating_einsum/w":
            made[at + "mlp.gate_proj"], made[at + "mlp.up_proj"] = bits[0].T, bits[1].T
        elif part == "mlp/linear/w":
            made[at + "mlp.down_proj"] = bits.T
        else:
            made[at + {"pre_attention_norm/scale": "input_layernorm", "pre_ffw_norm/scale": "post_attention_layernorm"}[part]] = bits
    return {f"{name}.weight": ("BF16", bits.shape, np.ascontiguousarray(bits).tobytes()) for name, bits in made.items()}


def write_config(path, folder):
    """The config.json of these arrays."""
    found = arrays(folder)
    heads, width, dim = found["layer_0/attn/attn_vec_einsum/w"].shape
    path.write_text(json.dumps({
        "architectures": ["GemmaForCausalLM"], "model_type": "gemma", "hidden_size": dim, "num_attention_heads": heads,
        "num_key_value_heads": 1 if "layer_0/attn/kv_einsum/w" in found else heads, "head_dim": width,
        "intermediate_size": found["layer_0/mlp/linear/w"].shape[0], "vocab_size": len(found["embedder/input_embedding"]),
        "num_hidden_layers": sum(name.endswith("mlp/linear/w") for name in found)}))
    return path
