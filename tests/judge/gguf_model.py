"""Makes small Llama models in GGUF form with the gguf package: the inputs of the judge tests."""

import gguf
import numpy as np


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
        values[name + ".weight"] = gguf.dequantize(data, kind).astype(np.float32).reshape(extents)
        writer.add_tensor(name + ".weight", data, raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        values[name + ".weight"] = noise.normal(1, 0.1, dim).astype(np.float32)
        writer.add_tensor(name + ".weight", values[name + ".weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def _quantized(noise, extents, kind):
    """Random blocks of a type; the package cannot quantize to Q6_K, so there the bytes are random and the scale sane."""
    wide = noise.normal(0, 0.05, extents).astype(np.float32)
    if kind != gguf.GGMLQuantizationType.Q6_K:
        return gguf.quantize(wide, kind)
    raw = noise.integers(0, 256, (extents[0], extents[1] // 256, 210), dtype=np.uint8)
    raw[:, :, 208:] = np.frombuffer(np.float16(0.0003).tobytes(), np.uint8)
    return raw.reshape(extents[0], -1)
