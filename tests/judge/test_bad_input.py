"""Every bad input ends in one clear error with the documented exit code, and leaves nothing that a loader would take."""

import json

import gguf
import numpy as np
import pytest

import gguf_model
import pth_file
import support

EXPECTED = json.loads((support.GOLDEN / "sources/expected.json").read_text())["files"]
BAD = sorted(name for name, entry in EXPECTED.items() if name.startswith("bad/") and entry["verdict"] == "error")


def refuse(source, folder, code, *mentions, kind=None, flags=()):
    """Converts what must be refused, into a folder that holds something already."""
    before = support.contents(folder)
    ran = support.convert(source, folder, *flags, kind=kind, expect=code)
    support.assert_refused(ran, code, *mentions)
    assert support.contents(folder) == before, "a refused run changed the destination"
    return ran


def test_the_goldens_hold_bad_files():
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_inspect(name):
    ran = support.run("inspect", support.GOLDEN / "sources" / name)
    support.assert_refused(ran, 65)
    assert ran.peak_rss_bytes < 256 * support.MIB
    assert ran.cpu_s < 5


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_convert_and_leaves_nothing(name, tmp_path):
    refuse(support.GOLDEN / "sources" / name, tmp_path / "out", 65)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_wrong_total_size_is_only_a_warning():
    ran = support.run("inspect", support.GOLDEN / "sources/bad/index_total_size_differs", expect=0)
    assert "total_size" in ran.stdout + ran.stderr


def test_a_source_that_is_not_there_is_66(tmp_path):
    refuse(tmp_path / "nothing", tmp_path / "out", 66, "nothing")


def test_an_empty_folder_is_66(tmp_path):
    (tmp_path / "in").mkdir()
    refuse(tmp_path / "in", tmp_path / "out", 66)


# --- a Hugging Face folder that is damaged in one way (jetstream-pytorch.md 7)

@pytest.fixture
def model(tmp_path):
    """A small model in one file: its folder, and what is in it."""
    support.small(tmp_path / "in", adversarial=False)
    return tmp_path / "in"


def rewrite(model, change):
    """Reads the tensors, lets `change` alter the dictionary, writes them again."""
    path = model / "model.safetensors"
    tensors = support.read_tensors(path)
    change(tensors)
    support.write_tensors(path, tensors)


def configure(model, **values):
    path = model / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **values}))


def test_a_shard_that_the_index_lists_and_nobody_has_is_named(tmp_path):
    support.small(tmp_path / "in", shards=3)
    (tmp_path / "in/model-00002-of-00003.safetensors").unlink()
    refuse(tmp_path / "in", tmp_path / "out", 65, "model-00002-of-00003.safetensors")


def test_a_missing_layer_is_named(model, tmp_path):
    rewrite(model, lambda tensors: [tensors.pop(name) for name in list(tensors) if ".layers.1." in name])
    refuse(model, tmp_path / "out", 65, "layers 1", "config.json")


def test_a_missing_tensor_is_named(model, tmp_path):
    rewrite(model, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    refuse(model, tmp_path / "out", 65, "layers.1.mlp.up_proj")


def test_an_unknown_tensor_is_named(model, tmp_path):
    rewrite(model, lambda tensors: tensors.update({"model.layers.0.extra.weight": ("BF16", (2,), b"\0" * 4)}))
    refuse(model, tmp_path / "out", 65, "model.layers.0.extra.weight")


def test_an_attention_bias_is_not_supported(model, tmp_path):
    bias = {"model.layers.0.self_attn.q_proj.bias": ("BF16", (256,), b"\0" * 512)}
    rewrite(model, lambda tensors: tensors.update(bias))
    refuse(model, tmp_path / "out", 65, "bias", "q_proj.bias")


def test_inv_freq_is_dropped_without_complaint(model, tmp_path):
    table = {"model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (32,), b"\0" * 128)}
    rewrite(model, lambda tensors: tensors.update(table))
    support.convert(model, tmp_path / "out")


def test_a_missing_config_is_named(model, tmp_path):
    (model / "config.json").unlink()
    refuse(model, tmp_path / "out", 65, "config.json")


def test_a_config_that_disagrees_with_a_shape_is_told(model, tmp_path):
    configure(model, intermediate_size=512)
    refuse(model, tmp_path / "out", 65, "384", "512")


def test_a_missing_output_of_an_untied_model_is_named(model, tmp_path):
    rewrite(model, lambda tensors: tensors.pop("lm_head.weight"))
    refuse(model, tmp_path / "out", 65, "lm_head.weight")


def test_a_missing_output_of_a_tied_model_is_the_embedding(model, tmp_path):
    rewrite(model, lambda tensors: tensors.pop("lm_head.weight"))
    configure(model, tie_word_embeddings=True)
    support.convert(model, tmp_path / "out")
    made = support.read_tensors(tmp_path / "out/model.safetensors")
    assert made["output.weight"] == made["tok_embeddings.weight"]


@pytest.mark.parametrize("kind", ["int8_blockwise", "int4_blockwise"])
def test_blockwise_with_192_columns_names_tensor_size_and_block(kind, tmp_path):
    support.small(tmp_path / "in", dim=192, heads=2, kv_heads=2, mlp=256)
    refuse(tmp_path / "in", tmp_path / "out", 64, "192", "128", "attention.wq.weight", kind=kind)


def test_a_wrong_quantize_type_is_64_and_lists_the_four(model, tmp_path):
    ran = support.convert(model, tmp_path / "out", kind="int8_per_chanel", expect=64)
    support.assert_refused(ran, 64, "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")


@pytest.mark.parametrize("kind", ["int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"])
@pytest.mark.parametrize("bad", [0x7FC0, 0xFFC1, 0x7F80, 0xFF80], ids=["nan", "negative_nan", "inf", "negative_inf"])
@pytest.mark.parametrize("place", [("model.layers.1.mlp.down_proj.weight", 37, 301), ("model.embed_tokens.weight", 319, 255)],
                         ids=["linear", "embedding"])
def test_nan_and_infinity_are_refused_with_tensor_and_index(place, bad, kind, model, tmp_path):
    name, row, column = place

    def plant(tensors):
        dtype, extents, data = tensors[name]
        bits = np.frombuffer(data, np.uint16).copy().reshape(extents)
        bits[row, column] = bad
        tensors[name] = (dtype, extents, bits.tobytes())

    rewrite(model, plant)
    stem = name.removeprefix("model.").removesuffix(".weight")
    known_as = {"layers.1.mlp.down_proj": "w2", "embed_tokens": "embed"}[stem]
    ran = refuse(model, tmp_path / "out", 65, str(row), str(column), kind=kind)
    assert known_as in ran.stderr or stem in ran.stderr, ran.stderr


def test_nan_passes_unquantized_with_its_bits(model, tmp_path):
    name = "model.layers.1.mlp.down_proj.weight"

    def plant(tensors):
        dtype, extents, data = tensors[name]
        tensors[name] = (dtype, extents, data[:-2] + b"\xc5\x7f")

    rewrite(model, plant)
    support.convert(model, tmp_path / "out")
    made = support.read_tensors(tmp_path / "out/model.safetensors")
    assert made["layers.1.feed_forward.w2.weight"][2][-2:] == b"\xc5\x7f"


# --- Meta's names, and GGUF

def test_one_metas_shard_of_two_is_told_from_params_json(tmp_path):
    source = support.GOLDEN / "jetstream-pytorch/llama-2-meta/input"
    (tmp_path / "in").mkdir()
    support.write_tensors(tmp_path / "in/model.safetensors", pth_file.read_pth(source / "consolidated.00.pth"))
    (tmp_path / "in/params.json").write_bytes((source / "params.json").read_bytes())
    refuse(tmp_path / "in", tmp_path / "out", 65, "wq.weight", "64", "128", "params.json")


def q8_model(path, renamed=None):
    gguf_model.write(path, [gguf.GGMLQuantizationType.Q8_0], renamed)
    return path


def test_a_gguf_without_output_is_tied(tmp_path):
    support.convert(q8_model(tmp_path / "model.gguf", {"output": None}), tmp_path / "out")
    made = support.read_tensors(tmp_path / "out/model.safetensors")
    assert made["output.weight"] == made["tok_embeddings.weight"]


def test_an_unknown_tensor_of_a_gguf_is_named(tmp_path):
    model = q8_model(tmp_path / "model.gguf", {"blk.0.attn_q": "blk.0.attn_z"})
    refuse(model, tmp_path / "out", 65, "blk.0.attn_z.weight", "blk.0.attn_q.weight")


def test_a_missing_tensor_of_a_gguf_is_named(tmp_path):
    refuse(q8_model(tmp_path / "model.gguf", {"blk.0.ffn_up": None}), tmp_path / "out", 65, "blk.0.ffn_up.weight")


def test_a_gguf_that_is_no_llama_is_refused(tmp_path):
    refuse(support.GOLDEN / "sources/ok/gguf_every_type.gguf", tmp_path / "out", 65)
