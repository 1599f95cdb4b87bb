"""Gemma 2 and Gemma 3 (text) from every form of their weights become what gemma_reference.py says, as real Orbax restores it."""

import json

import gguf
import numpy as np
import pytest

import bfloat16
import gemma_reference
import maxtext_reference
import real_orbax
import support
from gemma_reference import GGUF, Sizes

OUTPUTS = ("scanned", "unscanned")
MODELS = {
    "gemma2": Sizes(2, layers=4),
    "gemma2-27b": Sizes(2, layers=4, scalar=12, dim=48),  # queries are not divided by the root of a head's width
    "gemma3-blocks": Sizes(3, layers=12),
    "gemma3-rest": Sizes(3, layers=14),
    "gemma3-rest-only": Sizes(3, layers=4),
}
INT8 = ("gemma2", "gemma3-rest")


def write_safetensors(folder, tensors, config):
    """{name: bf16 bits} as a folder of Hugging Face's form."""
    folder.mkdir(parents=True)
    support.write_tensors(folder / "model.safetensors",
                          {name: ("BF16", bits.shape, bits.tobytes()) for name, bits in tensors.items()})
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_hf(folder, sizes, prefix="model.", config=None, more=None):
    weights = gemma_reference.make(sizes)
    tensors = {f"{prefix}{name}.weight": bits for name, bits in weights.items()}
    return write_safetensors(folder, {**tensors, **(more or {})}, config or sizes.config())


def write_gguf(path, sizes):
    """As llama.cpp's converter writes it: float32 norms, to which 1 has been added; matrices bf16."""
    arch = f"gemma{sizes.generation}"
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(sizes.layers)
    writer.add_embedding_length(sizes.dim)
    writer.add_feed_forward_length(sizes.mlp)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_key_length(sizes.head_dim)
    writer.add_value_length(sizes.head_dim)
    writer.add_vocab_size(sizes.vocab)
    for name, bits in gemma_reference.make(sizes).items():
        layer = name.split(".", 2)
        name = f"blk.{layer[1]}.{GGUF[layer[2]]}" if len(layer) == 3 else {"embed_tokens": "token_embd", "norm": "output_norm"}[name]
        if bits.ndim == 1:
            writer.add_tensor(name + ".weight", bfloat16.to_float32(bits) + np.float32(1))
        else:
            writer.add_tensor(name + ".weight", bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def of_kaggle(name, is_transposed, sizes=None):
    """A case of Kaggle's names, which tell no family apart: it is named."""
    sizes = sizes or MODELS[name]

    def write(folder):
        return write_safetensors(folder, gemma_reference.kaggle(gemma_reference.make(sizes), sizes, is_transposed), None)
    return sizes, None, write, ("--family", name.split("-")[0])


def of_hf(sizes, model=None, vocab=None):
    return sizes, vocab, lambda folder: write_hf(folder, sizes), ("--model", model) if model else ()


def of_gguf(sizes):
    return sizes, None, lambda folder: write_gguf(folder.with_suffix(".gguf"), sizes), ()


def of_multimodal(prefix, inner):
    """Its configuration leaves out what is as transformers has it by default; the image encoder is left out by name."""
    sizes = Sizes(3, layers=7, dim=16, heads=8, kv_heads=4, head_dim=8, mlp=24)
    kept = ("num_hidden_layers", "hidden_size", "intermediate_size")
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
              "text_config": {"model_type": "gemma3_text", **{key: sizes.config()[key] for key in kept}},
              "vision_config": {"hidden_size": 4, "num_hidden_layers": 1, "intermediate_size": 8}}
    vision = {inner + "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight": np.zeros((4, 4), np.uint16),
              inner + "multi_modal_projector.mm_input_projection_weight": np.zeros((4, 16), np.uint16),
              inner + "multi_modal_projector.mm_soft_emb_norm.weight": np.zeros(4, np.uint16)}
    return sizes, None, lambda folder: write_hf(folder, sizes, prefix, config, vision), ()


def wide(head_dim, scalar):
    return Sizes(2, layers=2, dim=24, heads=2, kv_heads=1, head_dim=head_dim, scalar=scalar)


CASES = {  # sizes, rows of the embedding where they change, what writes the source into a folder, flags
    **{f"hf-{name}": of_hf(sizes) for name, sizes in MODELS.items()},
    # Norms in float32 with 1 added are those of Hugging Face again: the sum has all of their bits here.
    "gguf-gemma2": of_gguf(MODELS["gemma2"]),
    "gguf-gemma3": of_gguf(MODELS["gemma3-rest"]),
    # Both forms of gating_einsum: [2, e, f] of Gemma 2 2B, [2, f, e] of all others.
    "kaggle-gemma2-2b": of_kaggle("gemma2", False),
    "kaggle-gemma2-9b": of_kaggle("gemma2", True),
    "kaggle-gemma3": of_kaggle("gemma3-rest", True),
    # No configuration says the scale of queries: the width of a head, but dim / heads where heads have 128 (27B: 4608 / 32).
    "kaggle-gemma2-heads-of-256": of_kaggle("gemma2", True, wide(256, 256)),
    "kaggle-gemma2-heads-of-128": of_kaggle("gemma2", True, wide(128, 12)),
    "multimodal-as-published": of_multimodal("language_model.model.", ""),
    "multimodal-transformers-4.52": of_multimodal("model.language_model.", "model."),
    # Zeros are appended to Gemma 2's vocabulary; Gemma 3's is cut.
    "vocabulary-gemma2-hf": of_hf(Sizes(2, layers=2, vocab=256000, dim=4), "gemma2-2b", 256128),
    "vocabulary-gemma2-padded": of_hf(Sizes(2, layers=2, vocab=256128, dim=4), "gemma2-2b", 256128),
    "vocabulary-gemma3-multimodal": of_hf(Sizes(3, layers=2, vocab=262208, dim=4), "gemma3-4b", 262144),
    "vocabulary-gemma3-text": of_hf(Sizes(3, layers=2, vocab=262144, dim=4), "gemma3-4b", 262144),
}


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    """{(case, output): {path: [dtype, shape, hash]}} by the newest real Orbax; all at once, as importing it takes seconds."""
    folder = tmp_path_factory.mktemp("gemma23")
    wanted = [(case, output) for case in CASES for output in OUTPUTS]
    for case, (_, _, write, flags) in CASES.items():
        support.convert_maxtext(write(folder / f"{case}-in"), folder / case, OUTPUTS, *flags)
    for name in INT8:
        support.convert_maxtext(write_hf(folder / f"int8-{name}-in", MODELS[name]), folder / f"int8-{name}", ("int8",))
        wanted.append((f"int8-{name}", "int8"))
    results = real_orbax.restore(real_orbax.NEWEST,
                                 [real_orbax.job(support.items(folder / case, output), "whole") for case, output in wanted])
    assert [(case, result["error"]) for case, result in zip(wanted, results, strict=True) if "error" in result] == []
    return {case: result["leaves"] for case, result in zip(wanted, results, strict=True)}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("case", CASES)
def test_every_leaf_is_the_references(case, output, restored):
    sizes, vocab, _, _ = CASES[case]
    expected = maxtext_reference.rows(getattr(gemma_reference, output)(gemma_reference.make(sizes), sizes, vocab))
    leaves = restored[case, output]
    assert sorted(leaves) == sorted(expected)
    assert {path: row for path, row in leaves.items() if row != expected[path]} == {}


@pytest.mark.parametrize("name", INT8)
def test_int8_is_the_quantized_unscanned_tree(name, restored):
    tree = gemma_reference.unscanned(gemma_reference.make(MODELS[name]), MODELS[name])
    expected = {}
    for path, leaf in tree.items():
        if not path.endswith("/kernel"):
            expected |= {path: leaf} if path != "step" else {}
            continue
        at = path.replace("params/params/", "params/aqt/").removesuffix("kernel") + "AqtDotGeneral_0/qrhs/frozen/"
        axes = (0, 1) if path.endswith("/out/kernel") else (0,)
        expected[at + "qvalue"], expected[at + "scale/0"] = maxtext_reference.quantize(leaf, axes, "int8")
    assert restored[f"int8-{name}", "int8"] == maxtext_reference.rows(expected)


def test_an_odd_number_of_layers_has_no_pairs(tmp_path):
    ran = support.convert_maxtext(write_hf(tmp_path / "in", Sizes(2, layers=3)), tmp_path / "out", OUTPUTS, expect=65)
    support.assert_refused(ran, 65, "config.json", "not whole")
