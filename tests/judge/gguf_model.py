"""Makes small Llama models in GGUF form with the gguf package: the inputs of the judge tests."""

import gguf
import numpy as np

# Every type that is read.
TYPES = ("F64", "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS")
# Where blocks of the types that the package cannot quantize to hold their fp16 scales.
SCALES_AT = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
             "IQ2_XXS": (0,)}


def types(*names):
    return [gguf.GGMLQuantizationType[name] for name in names]


def write(path, types, renamed=None, dim=256, mlp=512, vocab=96):
    """A small GGUF of the given block types in turn; returns {tensor name: float32 values by the gguf package}.

    `renamed` maps tensor names, without ".weight", to others, or to None to leave the tensor out.
    """
    noise = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(dim)
    writer.add_feed_forward_length(mlp)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(vocab)
    writer.add_token_list([f"t{n}" for n in range(vocab)])
    shapes = {"token_embd": (vocab, dim), "output": (vocab, dim), "blk.0.attn_q": (dim, dim),
              "blk.0.attn_k": (dim // 2, dim), "blk.0.attn_v": (dim // 2, dim), "blk.0.attn_output": (dim, dim),
              "blk.0.ffn_gate": (mlp, dim), "blk.0.ffn_up": (mlp, dim), "blk.0.ffn_down": (dim, mlp)}
    values = {}
    for (name, extents), kind in zip(shapes.items(), types * len(shapes)):
        name = (renamed or {}).get(name, name)
        data = _quantized(noise, extents, kind)
        if name is None:
            continue
        values[name + ".weight"] = float32(data, kind).reshape(extents)
        writer.add_tensor(name + ".weight", data, raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        values[name + ".weight"] = noise.normal(1, 0.1, dim).astype(np.float32)
        writer.add_tensor(name + ".weight", values[name + ".weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


META = {"attention.wq": "attn_q", "attention.wk": "attn_k", "attention.wv": "attn_v", "attention.wo": "attn_output",
        "feed_forward.w1": "ffn_gate", "feed_forward.w2": "ffn_down", "feed_forward.w3": "ffn_up",
        "attention_norm": "attn_norm", "ffn_norm": "ffn_norm"}
META_TOP = {"tok_embeddings": "token_embd", "norm": "output_norm", "output": "output"}


def write_meta(path, tensors, shape, kind="BF16"):
    """Meta's {name: (dtype, shape, bytes)} of bf16 tensors as llama.cpp's converter lays them out, whose rotary order is Meta's.

    `kind`: BF16, or F16 for values that have such a form.
    """
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.dim)
    writer.add_feed_forward_length(shape.mlp)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_vocab_size(shape.vocab)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    for name, (dtype, extents, data) in tensors.items():
        assert dtype == "BF16"
        parts = name.removesuffix(".weight").split(".", 2)
        label = META_TOP[parts[0]] if len(parts) < 3 else f"blk.{parts[1]}.{META[parts[2]]}"
        bits = np.frombuffer(data, np.uint16).reshape(extents)
        numbers = (bits.astype(np.uint32) << 16).view(np.float32)
        if bits.ndim == 1:  # in float32, as its converter has them
            writer.add_tensor(label + ".weight", numbers)
        elif kind == "F16":
            halves = numbers.astype(np.float16)
            assert np.array_equal(halves.astype(np.float32), numbers)
            writer.add_tensor(label + ".weight", halves)
        else:
            writer.add_tensor(label + ".weight", bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def float32(data, kind):
    """What the package makes of a tensor's bytes."""
    if kind == gguf.GGMLQuantizationType.F64:  # which it leaves to the reader
        return data.astype(np.float32)
    return gguf.dequantize(data, kind).astype(np.float32)


def random_blocks(noise, extents, kind):
    """Random bytes of a block type, but for the scales, which are of a weight's size."""
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    raw = noise.integers(0, 256, (extents[0], extents[1] // block, block_bytes), dtype=np.uint8)
    for at in SCALES_AT[kind.name]:
        scales = noise.normal(0, 0.0005, raw.shape[:2]).astype(np.float16)
        raw[:, :, at:at + 2] = scales[:, :, None].view(np.uint8)
    return raw.reshape(extents[0], -1)


def _quantized(noise, extents, kind):
    """Random values of a type."""
    if kind.name in SCALES_AT:
        return random_blocks(noise, extents, kind)
    wide = noise.normal(0, 0.05, extents)
    return wide if kind == gguf.GGMLQuantizationType.F64 else gguf.quantize(wide.astype(np.float32), kind)
