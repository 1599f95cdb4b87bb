"""Small random models to quantize, of every family, with rows on which rounding shows, and the same weights in other forms."""

import json
from dataclasses import dataclass

import numpy as np

import bfloat16
import gguf_model
import meta_model
import pth_writer
import support
import test_gemma23
import test_mixtral_forward
from gemma_reference import Sizes


@dataclass(frozen=True)
class Size:
    """A Llama, Gemma or Mixtral; `experts` 0 for the others."""

    family: str
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    experts: int = 0
    layers: int = 2
    vocab: int = 48

    def config(self):
        name = {"llama": "Llama", "gemma": "Gemma", "mixtral": "Mixtral"}[self.family]
        experts = {"num_local_experts": self.experts, "num_experts_per_tok": 2} if self.experts else {}
        return {"architectures": [f"{name}ForCausalLM"], "model_type": self.family, "hidden_size": self.dim,
                "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
                "head_dim": self.head_dim, "intermediate_size": self.mlp, "vocab_size": self.vocab, "rms_norm_eps": 1e-05,
                "rope_theta": 500000.0, "torch_dtype": "bfloat16", "tie_word_embeddings": self.family == "gemma", **experts}

    def shapes(self):
        """{module: shape of its weight}."""
        q, kv, e, f = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.dim, self.mlp
        shapes = {"model.embed_tokens": (self.vocab, e), "model.norm": (e,)}
        if self.family != "gemma":
            shapes["lm_head"] = (self.vocab, e)
        for layer in range(self.layers):
            of = {"input_layernorm": (e,), "post_attention_layernorm": (e,), "self_attn.q_proj": (q, e), "self_attn.k_proj": (kv, e),
                  "self_attn.v_proj": (kv, e), "self_attn.o_proj": (e, q)}
            if self.experts:
                of["block_sparse_moe.gate"] = (self.experts, e)
                for expert in range(self.experts):
                    of |= {f"block_sparse_moe.experts.{expert}.{part}": (e, f) if part == "w2" else (f, e) for part in ("w1", "w2", "w3")}
            else:
                of |= {"mlp.gate_proj": (f, e), "mlp.up_proj": (f, e), "mlp.down_proj": (e, f)}
            shapes |= {f"model.layers.{layer}.{module}": shape for module, shape in of.items()}
        return shapes


SIZES = {
    # Rows that end inside a word of zero points and inside a block; inner sizes of the output projections that are no whole groups.
    "llama": Size("llama", dim=256, heads=6, kv_heads=3, head_dim=36, mlp=388),
    # Every group whole. Here and in Mixtral heads have a width whose root is a power of two: what MaxText scales comes back bit for bit.
    "llama-whole": Size("llama", dim=256, heads=8, kv_heads=4, head_dim=64, mlp=640, layers=3),
    # Inner sizes that end inside a word and inside a block: for scales of whole rows and of blocks alone.
    "llama-odd": Size("llama", dim=251, heads=5, kv_heads=1, head_dim=50, mlp=397),
    "gemma": Size("gemma", dim=384, heads=4, kv_heads=1, head_dim=44, mlp=300),
    "mixtral": Size("mixtral", dim=256, heads=8, kv_heads=2, head_dim=16, mlp=384, experts=3),
}
GEMMA3 = Sizes(3, layers=7, dim=256, heads=4, kv_heads=2, head_dim=20, mlp=264)
FAMILIES = (*SIZES, "gemma3")


def planted_rows(columns):
    """Rows of float32 on which rounding shows, by what they are for."""
    at = np.arange(columns)
    one_sided, outlier = 0.01 * (1 + at % 7), np.full(columns, 0.01)
    outlier[columns // 3] = -3e38
    return np.array([
        np.zeros(columns), np.where(at % 2, -0.0, 0.0), 1e-7 * (1 + at % 3), 1e-40 * (at % 5 - 2), outlier, one_sided, -one_sided,
        np.full(columns, 0.25), (at % 256 - 127.5) / 1.0, (at % 31 - 15) / 2 / 15 * 7.5, np.where(at % 2, 448.0, -0.3),
        np.where(at % 5, 1e-3, 1.0) * np.where(at % 2, 1, -1), np.where(at < columns // 2, 0, 3.0),
    ], np.float32)


def make(size, seed=11, is_planted=True):
    """{HF name: bf16 bits}; the planted rows lie at the begin of each matrix, as far as it goes."""
    noise, made = np.random.default_rng(seed), {}
    for module, shape in size.shapes().items():
        if len(shape) == 1:
            values = noise.normal(1, 0.1, shape)
        else:
            values = noise.normal(0, 1.0 / np.sqrt(shape[1]), shape) * np.exp(noise.normal(0, 0.5, (shape[0], 1)))
            if is_planted and module.startswith("model.layers"):
                rows = planted_rows(shape[1])[: shape[0] // 2]
                values[: len(rows)] = rows
        made[module + ".weight"] = bfloat16.from_float32(values.astype(np.float32))
    return made


def tensors_of(weights):
    return {name: ("BF16", bits.shape, np.ascontiguousarray(bits).tobytes()) for name, bits in weights.items()}


def write_tensors(folder, tensors, config):
    folder.mkdir(parents=True, exist_ok=True)
    support.write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


def write(folder, name, **choices):
    """The model `name` in Hugging Face's form; returns {name: (dtype, shape, bytes)}."""
    if name == "gemma3":
        test_gemma23.write_hf(folder, GEMMA3)
        return read(folder)
    return write_tensors(folder, tensors_of(make(SIZES[name], **choices)), SIZES[name].config())


def read(folder):
    """{name: (dtype, shape, bytes)} of all files of a folder; a name stands in one of them."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        own = support.read_tensors(path)
        assert not own.keys() & tensors.keys(), path
        tensors |= {name: (dtype, tuple(shape), data) for name, (dtype, shape, data) in own.items()}
    return tensors


def different(ours, theirs):
    """Names that only one of two sets of tensors has, or that differ in type, shape or a byte."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def convert(source, folder, word=None, *flags, expect=0):
    quantized = ("--quantize", word) if word else ()
    return support.run("convert", source, folder, "--to", "hf", "--quiet", *quantized, *flags, expect=expect)


# --- other forms: a writer takes a folder that is not there, and returns (what to convert, the tensors in Hugging Face's form, flags)

def _with_config(folder, hf):
    return "--config", hf / "config.json"


def llama_gguf(folder):
    """bf16 under llama.cpp's names, rows of queries and keys in pairs."""
    size = SIZES["llama"]
    tensors = write(folder / "hf", "llama")
    shape = support.make_model.Shape(size.layers, size.dim, size.heads, size.kv_heads, size.mlp, size.vocab, size.head_dim)
    gguf_model.write_meta(folder / "model.gguf", meta_model.of_hf(tensors, shape), shape)
    return folder / "model.gguf", tensors, _with_config(folder, folder / "hf")


def gemma3_gguf(folder):
    tensors = write(folder / "hf", "gemma3")
    return test_gemma23.write_gguf(folder / "model.gguf", GEMMA3), tensors, _with_config(folder, folder / "hf")


def blocks_gguf(folder):
    """Blocks of several types, whose float32 values are rounded to bf16 first: what the unquantized output holds."""
    size = Size("llama", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=512, layers=1, vocab=96)
    folder.mkdir()
    gguf_model.write(folder / "model.gguf", gguf_model.types("Q8_0", "Q4_K", "Q6_K", "F16", "Q4_0"))
    (folder / "config.json").write_text(json.dumps(size.config()))
    flags = _with_config(folder, folder)
    convert(folder / "model.gguf", folder / "bf16", None, *flags)
    return folder / "model.gguf", read(folder / "bf16"), flags


def maxtext(name, output):
    """What ckpt itself wrote for MaxText: every matrix lies transposed there."""
    def write_form(folder):
        tensors = write(folder / "hf", name, is_planted=False)
        support.convert_maxtext(folder / "hf", folder / "maxtext", (output,))
        return support.items(folder / "maxtext", output), tensors, _with_config(folder, folder / "hf")
    return write_form


def mixtral_pt(folder):
    """Pieces in which experts are stacked by rows."""
    folder.mkdir()
    weights = test_mixtral_forward.make()
    test_mixtral_forward.write_pt(folder / "pt", weights)
    forward = test_mixtral_forward
    size = Size("mixtral", forward.DIM, forward.HEADS, forward.KV_HEADS, forward.WIDTH, forward.MLP, forward.EXPERTS, forward.LAYERS,
                forward.VOCAB)
    tensors = write_tensors(folder / "hf", tensors_of(weights), size.config())
    return folder / "pt", tensors, _with_config(folder, folder / "hf")


def llama_bin(folder):
    tensors = write(folder / "hf", "llama")
    (folder / "bin").mkdir()
    pth_writer.write(folder / "bin/pytorch_model.bin", tensors)
    return folder / "bin", tensors, _with_config(folder, folder / "hf")


WHOLE = ("fp8-dynamic", "w8a8", "fp8-block", "w8a16-channel")  # that take every inner size
FORMS = {  # name: (writer, schemes)
    "llama-gguf": (llama_gguf, None),
    "gemma3-gguf": (gemma3_gguf, None),
    "blocks-gguf": (blocks_gguf, ("fp8-block", "w4a16-asym")),
    "llama-bin": (llama_bin, ("fp8-block", "w4a16-asym")),
    "llama-scanned": (maxtext("llama-whole", "scanned"), None),
    "llama-unscanned": (maxtext("llama-whole", "unscanned"), ("fp8-block", "w4a16-asym")),
    "mixtral-scanned": (maxtext("mixtral", "scanned"), ("fp8-block", "w4a16", "w8a8")),
    "mixtral-pt": (mixtral_pt, WHOLE),
}
