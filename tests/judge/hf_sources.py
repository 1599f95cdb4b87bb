"""Small models of every family in Hugging Face's form, and the same weights in every other form that is read: {name: writer}."""

import json
import shutil

import numpy as np

import bfloat16
import gemma_reference
import gguf_model
import hf_checkpoint
import meta_model
import pth_file
import pth_writer
import support
import test_gemma
import test_gemma23
import test_gemma_forward
from gemma_reference import Sizes

GEMMA2 = Sizes(2, layers=4, scalar=12)
GEMMA3 = Sizes(3, layers=8)
MIXTRAL = support.GOLDEN / "jetstream-pytorch/mixtral/input"
GOLDENS = {"llama2": support.GOLDEN / "maxtext/llama2/hf", "llama3": support.GOLDEN / "jetstream-pytorch/llama-3-hf/input",
           "llama3.1": support.GOLDEN / "maxtext/llama3.1/hf"}
SIDE_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "LICENSE",
              "USE_POLICY.md")


def write_llama(folder, **dims):
    support.small(folder, adversarial=False, **dims)


def write_gemma(folder):
    test_gemma.write_form("hf", folder, test_gemma.small_gemma())


def write_gemma2(folder):
    test_gemma23.write_hf(folder, GEMMA2)


def write_gemma3(folder):
    test_gemma23.write_hf(folder, GEMMA3)


def halves(rows, heads):
    """Rows of neighbouring pairs as rows of the two halves of a head."""
    width = rows.shape[-1]
    return rows.reshape(heads, -1, 2, width).transpose(0, 2, 1, 3).reshape(-1, width)


def mixtral_tensors():
    """The golden's .pt pieces under Hugging Face's names."""
    config = json.loads((MIXTRAL / "config.json").read_text())
    merged, tensors = {}, {}
    for path in sorted(MIXTRAL.glob("*.pt")):
        merged |= pth_file.read_pth(path)
    layer_names = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
                   "block_sparse_moe.gate": "block_sparse_moe.gate"}
    top_names = {"tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"}
    for name, (dtype, shape, data) in merged.items():
        array = np.frombuffer(data, np.uint16).reshape(shape)
        stem = name.removesuffix(".weight")
        made = {}
        if stem in top_names:
            made[top_names[stem]] = array
        elif stem.startswith("layers."):
            _, layer, part = stem.split(".", 2)
            at = f"model.layers.{layer}."
            if part in layer_names:
                made[at + layer_names[part]] = array
            elif part.startswith("block_sparse_moe.w"):
                which = part[-2:]
                for expert, matrix in enumerate(np.split(array, config["num_local_experts"])):
                    made[f"{at}block_sparse_moe.experts.{expert}.{which}"] = matrix.T if which == "w2" else matrix
            else:
                heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}.get(part[-1])
                made[f"{at}self_attn.{part[-1]}_proj"] = halves(array, heads) if heads else array
        tensors |= {f"{hf}.weight": (dtype, value.shape, np.ascontiguousarray(value).tobytes()) for hf, value in made.items()}
    return tensors


def write_mixtral(folder):
    folder.mkdir(parents=True)
    support.write_tensors(folder / "model.safetensors", mixtral_tensors())
    shutil.copy(MIXTRAL / "config.json", folder)


def copy_of(golden):
    return lambda folder: shutil.copytree(golden, folder)


SOURCES = {
    **{name: copy_of(golden) for name, golden in GOLDENS.items()},
    "llama-every-value": lambda folder: support.small(folder, shards=3),  # NaNs, infinities, subnormals: a copy keeps them
    "llama-tied": lambda folder: write_llama(folder, tied=True),
    "gemma": write_gemma, "gemma2": write_gemma2, "gemma3": write_gemma3, "mixtral": write_mixtral,
}


def add_side_files(folder):
    """Files that are copied, with bytes that no text has, and one that is nobody's; returns {name: bytes} of the former."""
    made = {}
    for number, name in enumerate(SIDE_FILES):
        made[name] = bytes(range(256)) * (number + 1) if name == "tokenizer.model" else f"{name}\r\n\u00e9 {number}".encode()
        (folder / name).write_bytes(made[name])
    (folder / "notes.txt").write_text("nobody's")
    return made


# --- the same weights in other forms: a writer takes a folder and what `write_...` above made, and returns (path, flags)

def as_bin(folder, hf):
    folder.mkdir()
    pth_writer.write(folder / "pytorch_model.bin", hf_checkpoint.read(hf))
    return folder, ()


def _llama_shape(hf):
    config = json.loads((hf / "config.json").read_text())
    return support.make_model.Shape(
        config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"],
        config["intermediate_size"], config["vocab_size"], config["head_dim"])


def as_meta(folder, hf):
    shape = _llama_shape(hf)
    meta_model.write(folder, meta_model.of_hf(hf_checkpoint.read(hf), shape), shape, 2)
    return folder, ()


def as_llama_gguf(kind):
    def write(folder, hf):
        shape = _llama_shape(hf)
        folder.mkdir()
        gguf_model.write_meta(folder / "model.gguf", meta_model.of_hf(hf_checkpoint.read(hf), shape), shape, kind=kind)
        return folder / "model.gguf", ()
    return write


def as_gemma(form):
    def write(folder, _):
        if form == "ckpt":
            test_gemma_forward.write_ckpt(folder, test_gemma.small_gemma())
            (folder / "config.json").unlink()
        else:
            test_gemma.write_form(form, folder, test_gemma.small_gemma())
        return folder, ("--family", "gemma") if form == "kaggle" else ()
    return write


def as_gemma23_gguf(sizes):
    return lambda folder, _: (test_gemma23.write_gguf(folder.with_suffix(".gguf"), sizes), ())


def as_gemma23_kaggle(sizes):
    def write(folder, _):
        tensors = gemma_reference.kaggle(gemma_reference.make(sizes), sizes, is_transposed=True)
        return test_gemma23.write_safetensors(folder, tensors, None), ("--family", f"gemma{sizes.generation}")
    return write


def as_mixtral_pt(folder, _):
    shutil.copytree(MIXTRAL, folder)
    (folder / "config.json").unlink()
    return folder, ()


def write_llama_of_halves(folder):
    """A Llama of numbers that F16 and BF16 both have."""
    write_llama(folder)
    tensors = {}
    for name, (dtype, extents, data) in hf_checkpoint.read(folder).items():
        numbers = bfloat16.to_float32(np.frombuffer(data, np.uint16)).astype(np.float16).astype(np.float32)
        tensors[name] = (dtype, extents, (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    support.write_tensors(folder / "model.safetensors", tensors)


FORMS = {  # name: (what writes Hugging Face's form, what writes this form)
    "llama-bin": (write_llama, as_bin),
    "llama-meta-2-shards": (write_llama, as_meta),
    "llama-gguf-bf16": (write_llama, as_llama_gguf("BF16")),
    "llama-gguf-f16": (write_llama_of_halves, as_llama_gguf("F16")),
    "gemma-gguf": (write_gemma, as_gemma("gguf")),
    "gemma-kaggle": (write_gemma, as_gemma("kaggle")),
    "gemma-ckpt": (write_gemma, as_gemma("ckpt")),
    "gemma2-gguf": (write_gemma2, as_gemma23_gguf(GEMMA2)),
    "gemma2-kaggle": (write_gemma2, as_gemma23_kaggle(GEMMA2)),
    "gemma3-gguf": (write_gemma3, as_gemma23_gguf(GEMMA3)),
    "gemma3-kaggle": (write_gemma3, as_gemma23_kaggle(GEMMA3)),
    "mixtral-pt": (write_mixtral, as_mixtral_pt),
}
