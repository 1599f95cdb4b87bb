"""The real packages: compressed-tensors decompresses a folder, transformers loads and runs one, llm-compressor makes one."""

import contextlib
import importlib.metadata
from unittest import mock

import numpy as np
import torch
import safetensors.torch
import transformers
from compressed_tensors.entrypoints.convert import CompressedTensorsDequantizer, convert_checkpoint
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme, preset_name_to_scheme
from llmcompressor import model_free_ptq, oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

import ct_reference
import ct_sources

PACKAGES = ("torch", "transformers", "compressed-tensors", "llmcompressor", "numpy")
# No Linear modules, but called .weight, too: what takes a folder without a model cannot know.
NO_LINEAR = ("model.embed_tokens", "re:.*norm$")


def versions():
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def bits_of(tensor):
    assert tensor.dtype == torch.bfloat16, tensor.dtype
    return tensor.detach().contiguous().view(torch.int16).numpy().view(np.uint16)


def scheme_of(word):
    """llm-compressor's preset; one that it has no name for is spelled out."""
    if word == "w8a16-channel":
        return QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel"))
    return preset_name_to_scheme(ct_reference.SCHEMES[word].alias, ["Linear"])


@contextlib.contextmanager
def writing_views():
    """Where a block or a word is cut at a matrix's end, both packages make a view of a padded tensor, and then fail to write it."""
    def save(tensors, path, **options):
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, **options)
    with mock.patch("llmcompressor.entrypoints.model_free.save_file", save), \
            mock.patch("compressed_tensors.entrypoints.convert.convert_file.save_file", save):
        yield


def decompress(folder, out):
    """Writes the folder's unquantized form by compressed-tensors itself, and returns its tensors."""
    with writing_views():
        convert_checkpoint(folder, out, CompressedTensorsDequantizer(folder, ignore=NO_LINEAR), device="cpu")
    return ct_sources.read(out)


def load(folder, dequantize=False):
    """The model in bf16, as a user loads it; nothing may be missing, left over or of another shape."""
    options = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    model, told = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, output_loading_info=True, **options)
    assert not any(told.values()), {kind: list(names)[:3] for kind, names in told.items()}
    return model.eval()


def logits(model, tokens):
    """float32 [positions, vocabulary]. The first pass decompresses what is compressed."""
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].float().numpy()


def weights_of(model):
    """{name in the files: bf16 bits} of a model that has been run; experts, which transformers stacks, one by one."""
    made = {}
    for name, tensor in model.state_dict().items():
        if name.endswith((".weight_scale", ".weight_zero_point", ".weight_shape")):
            continue
        bits, name = bits_of(tensor), name.replace(".mlp.gate.weight", ".block_sparse_moe.gate.weight")
        if ".mlp.experts." not in name:
            made[name] = bits
            continue
        at = name.rsplit(".", 1)[0].replace(".mlp.", ".block_sparse_moe.")
        for number, own in enumerate(bits):
            parts = {"w2": own} if name.endswith("down_proj") else dict(zip(("w1", "w3"), np.split(own, 2), strict=True))
            made |= {f"{at}.{number}.{part}.weight": matrix for part, matrix in parts.items()}
    return made


def compress_files(source, out, word, ignored):
    """llm-compressor file by file, without a model."""
    model_free_ptq(source, out, scheme=scheme_of(word), ignore=[*ignored, *NO_LINEAR], device="cpu")


def compress_model(source, out, word):
    """llm-compressor on a loaded model: round to nearest, no data."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    oneshot(model=model, recipe=[QuantizationModifier(config_groups={"group_0": scheme_of(word)}, ignore=["lm_head"])])
    model.save_pretrained(out, save_compressed=True)


def quiet():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
