"""What loaders are told of a quantized model, which modules stay, and which words are refused."""

import json

import pytest

import ct_reference
import ct_sources
import support
from ct_reference import SCHEMES
from ct_sources import convert, different, read

PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
               "mlp.down_proj")
LLAMA = ct_sources.Size("llama", dim=128, heads=4, kv_heads=2, head_dim=32, mlp=256, layers=2, vocab=32)
MOST_OF = {  # what a configuration may hold, none of it ours to change
    "z_last": 1e-06, "a_first": 1000000.0, "big": 18446744073709551615, "unicode": "caf\u00e9 \u2028 \"quoted\"", "null": None,
    "nested": {"b": [1, 2.5, {"c": []}], "a": {}}, "rope_scaling": {"factor": 8.0, "rope_type": "default"}, "flag": False,
}


@pytest.fixture
def llama(tmp_path):
    """A small Llama whose inner sizes are whole groups; returns (folder, tensors)."""
    return tmp_path / "in", ct_sources.write_tensors(tmp_path / "in", ct_sources.tensors_of(ct_sources.make(LLAMA)), LLAMA.config())


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def ignored_by(folder):
    return config_of(folder)["quantization_config"]["ignore"]


# --- the configuration

@pytest.mark.parametrize("word", SCHEMES)
def test_the_short_form_is_added_and_nothing_else_changes(word, llama, tmp_path):
    folder, _ = llama
    source = {**MOST_OF, **LLAMA.config()}
    (folder / "config.json").write_text(json.dumps(source))
    convert(folder, tmp_path / "out", word)
    made = config_of(tmp_path / "out")
    assert made == {**source, "quantization_config": ct_reference.quantization_config(word, ["lm_head"])}
    assert list(made) == [*source, "quantization_config"]
    assert list(made["nested"]) == ["b", "a"]
    text = (tmp_path / "out/config.json").read_text()
    for number in ("1e-06", "1000000.0", "18446744073709551615", "8.0"):
        assert number in text, "written as it was"


def test_a_configuration_of_the_sources_own_is_replaced(llama, tmp_path):
    folder, tensors = llama
    other = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    (folder / "config.json").write_text(json.dumps({"quantization_config": other, **LLAMA.config()}))
    convert(folder, tmp_path / "out", "w8a8")
    assert config_of(tmp_path / "out") == {**LLAMA.config(),
                                           "quantization_config": ct_reference.quantization_config("w8a8", ["lm_head"])}
    convert(folder, tmp_path / "bf16")
    assert config_of(tmp_path / "bf16") == LLAMA.config()
    assert different(read(tmp_path / "bf16"), tensors) == []


def test_the_head_is_ignored_by_name_also_where_it_is_tied(llama, tmp_path):
    folder, tensors = llama
    del tensors["lm_head.weight"]
    ct_sources.write_tensors(folder, tensors, {**LLAMA.config(), "tie_word_embeddings": True})
    ran = convert(folder, tmp_path / "out", "w4a16", "--ignore", "lm_head")
    assert ignored_by(tmp_path / "out") == ["lm_head"]
    assert "lm_head" not in ran.stderr
    assert not any(name.startswith("lm_head") for name in read(tmp_path / "out"))
    assert read(tmp_path / "out")["model.embed_tokens.weight"] == tensors["model.embed_tokens.weight"]


def test_routers_are_ignored_by_their_exact_names(tmp_path):
    ct_sources.write(tmp_path / "in", "mixtral")
    convert(tmp_path / "in", tmp_path / "out", "w4a16")
    routers = [f"model.layers.{layer}.block_sparse_moe.gate" for layer in range(ct_sources.SIZES["mixtral"].layers)]
    assert sorted(ignored_by(tmp_path / "out")) == ["lm_head", *routers]


@pytest.mark.parametrize(("word", "is_told"), [("w8a8", True), ("fp8-block", True), ("fp8-dynamic", False)])
def test_experts_that_transformers_does_not_load_are_told_of(tmp_path, word, is_told):
    ct_sources.write(tmp_path / "in", "mixtral")
    ran = convert(tmp_path / "in", tmp_path / "out", word)
    assert ("does not load experts of this scheme" in ran.stderr) == is_told


def test_modules_without_whole_groups_stay_and_it_is_said(tmp_path):
    tensors = ct_sources.write(tmp_path / "in", "llama")
    left = [f"model.layers.{layer}.{module}" for layer in range(2) for module in ("self_attn.o_proj", "mlp.down_proj")]
    for word in ("w4a16", "w4a16-asym", "w8a16"):
        ran = convert(tmp_path / "in", tmp_path / word, word)
        assert sorted(ignored_by(tmp_path / word)) == sorted(["lm_head", *left])
        assert "4 modules stay in bf16, as their rows are no whole groups of 128" in ran.stderr
        assert left[0] in ran.stderr
        assert all(read(tmp_path / word)[module + ".weight"] == tensors[module + ".weight"] for module in left)
        assert any("stay in bf16" in warning for warning in support.report(tmp_path / word)["warnings"])
    ran = convert(tmp_path / "in", tmp_path / "channel", "w8a16-channel")
    assert ignored_by(tmp_path / "channel") == ["lm_head"] and "stay in bf16" not in ran.stderr


def test_experts_of_which_some_would_stay_are_refused(tmp_path):
    """The last projections' inner size is no multiple of 128 here: servers load all three as one."""
    size = ct_sources.Size("mixtral", dim=128, heads=2, kv_heads=1, head_dim=64, mlp=192, experts=2, layers=1, vocab=32)
    ct_sources.write_tensors(tmp_path / "in", ct_sources.tensors_of(ct_sources.make(size)), size.config())
    support.assert_refused(convert(tmp_path / "in", tmp_path / "out", "w4a16", expect=64), 64, "experts of layer 0", "experts.0.w1",
                           "experts.0.w2")
    convert(tmp_path / "in", tmp_path / "out", "w4a16", "--ignore", "re:.*experts")
    assert len(ignored_by(tmp_path / "out")) == 6 + 1 + 1
    convert(tmp_path / "in", tmp_path / "block", "fp8-block")


def test_blocks_that_end_inside_a_fused_weight_are_warned_of(tmp_path):
    """Queries of 216 rows, and gates of 388: whoever stacks others below them cuts other blocks."""
    ct_sources.write(tmp_path / "in", "llama")
    ran = convert(tmp_path / "in", tmp_path / "out", "fp8-block")
    assert "6 modules end inside a block of 128 rows" in ran.stderr  # queries, keys and gates of two layers
    for module in ("q_proj", "k_proj", "gate_proj"):
        assert f"model.layers.0.{module}" in ran.stderr.replace("self_attn.", "").replace("mlp.", "")
    assert "v_proj" not in ran.stderr and "up_proj" not in ran.stderr
    assert "end inside a block" not in convert(tmp_path / "in", tmp_path / "row", "fp8-dynamic").stderr


# --- what the user ignores

def test_exact_names_and_expressions_keep_modules(llama, tmp_path):
    folder, tensors = llama
    convert(folder, tmp_path / "out", "w4a16-asym", "--ignore", "model.layers.1.mlp.down_proj", "--ignore", "re:.*self_attn\\.o_proj$",
            "--ignore", "re:model\\.layers\\.0\\.mlp\\.(gate|up)")
    left = {"model.layers.1.mlp.down_proj", "model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj",
            "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"}
    assert sorted(ignored_by(tmp_path / "out")) == sorted({*left, "lm_head"})
    expected, _ = ct_reference.quantize_model(tensors, "w4a16-asym", ignored=lambda module: module in left)
    assert different(read(tmp_path / "out"), expected) == []


IGNORED = {  # expressions, and what of layer 0 they meet: Python's re.match, from the beginning but not to the end
    "re:model.layers.0.self_attn": PROJECTIONS[:4],
    "re:model.layers.0.(?=.*proj).*down": PROJECTIONS[6:],
    "re:.*down_proj$": PROJECTIONS[6:],
    "re:.*layers\\.0\\.self_attn\\.o": PROJECTIONS[3:4],
    "re:^model\\.layers\\.[0-9]+\\.mlp": PROJECTIONS[4:],
    "re:layers.0": (), "re:self_attn": (), "re:.*down_pro$": (), "down_proj": (), "model.layers.0": (),
    "model.layers.0.mlp.down_proj.weight": (), "re:": PROJECTIONS,
}


@pytest.mark.parametrize("entry", IGNORED)
def test_an_expression_matches_from_the_beginning(entry, llama, tmp_path):
    folder, _ = llama
    rest = [f"--ignore=re:model.layers.1.{part}" for part in ("mlp.gate", "mlp.up", "self_attn.[qkv]")]
    ran = convert(folder, tmp_path / "out", "w8a8", "--ignore", entry, *rest, expect=None)
    if entry == "re:":
        support.assert_refused(ran, 64, "nothing would be quantized")
        return
    assert ran.exit_code == 0, ran.stderr
    found = [module for module in ignored_by(tmp_path / "out") if module.startswith("model.layers.0.")]
    assert found == [f"model.layers.0.{module}" for module in IGNORED[entry]]
    assert (f"--ignore meets no module: {entry}" in ran.stderr) == (not IGNORED[entry])


FUSED = {"q_proj": ("qkv of layer 0", "k_proj", "v_proj"), "k_proj": ("qkv of layer 0", "q_proj"), "up_proj": ("gate_up of layer 0", "gate_proj")}


@pytest.mark.parametrize("module", FUSED)
def test_half_a_fused_module_is_refused(module, llama, tmp_path):
    folder, _ = llama
    ran = convert(folder, tmp_path / "out", "w8a8", "--ignore", f"re:model.layers.0.*{module}", expect=64)
    support.assert_refused(ran, 64, *FUSED[module], module)
    assert not (tmp_path / "out").exists()


def test_half_of_the_experts_is_refused(tmp_path):
    ct_sources.write(tmp_path / "in", "mixtral")
    ran = convert(tmp_path / "in", tmp_path / "out", "w8a8", "--ignore", "re:.*layers.1.*experts.2", expect=64)
    support.assert_refused(ran, 64, "experts of layer 1", "experts.2.w1", "experts.0.w1")
    ran = convert(tmp_path / "in", tmp_path / "out", "w8a8", "--ignore", "re:.*layers.1.*experts", "--ignore", "re:.*block_sparse_moe.gate$")
    assert "meets no module" not in ran.stderr
    assert len(ignored_by(tmp_path / "out")) == 9 + 2 + 1


@pytest.mark.parametrize("entry", ["re:[", "re:(", "re:*", "re:a{2"])
def test_what_is_no_expression_is_refused(entry, llama, tmp_path):
    ran = convert(llama[0], tmp_path / "out", "w8a8", "--ignore", entry, expect=64)
    support.assert_refused(ran, 64, entry, "no regular expression")


# --- words

@pytest.mark.parametrize("word", SCHEMES)
def test_llm_compressors_name_gives_the_same_bytes(word, llama, tmp_path):
    folder, _ = llama
    for given in (word, SCHEMES[word].alias):
        convert(folder, tmp_path / given, given)
        support.run("verify", tmp_path / given, "--source", folder, expect=0)
    assert support.outputs_of(tmp_path / word) == support.outputs_of(tmp_path / SCHEMES[word].alias)


WRONG = {  # flags: what is said
    ("--quantize", "w4a61"): ("--quantize w4a61 is unknown", "w4a16"),
    ("--quantize", "FP8_DYNAMC"): ("--quantize FP8_DYNAMC is unknown", "FP8_DYNAMIC"),
    ("--quantize", "int8_per_channel"): ("--quantize int8_per_channel is unknown", "w8a8"),
    ("--quantize", "w8a8", "--preserve-dtype"): ("--preserve-dtype and --quantize exclude each other",),
    ("--quantize", "w8a8", "--ct-arithmetic", "tpu"): ("--ct-arithmetic tpu is neither gpu nor cpu",),
    ("--ignore", "lm_head"): ("--ignore", "--quantize"),
    ("--ct-arithmetic", "cpu"): ("--ct-arithmetic", "--quantize"),
}


@pytest.mark.parametrize("flags", WRONG, ids=" ".join)
def test_words_that_make_no_sense_are_refused(flags, llama, tmp_path):
    ran = convert(llama[0], tmp_path / "out", None, *flags, expect=64)
    support.assert_refused(ran, 64, *WRONG[flags])
    assert not (tmp_path / "out").exists()


OTHERS = {"jetstream-pytorch": (), "maxtext": ("--outputs", "scanned", "--model", "llama2-7b")}


@pytest.mark.parametrize("flags", [("--ignore", "lm_head"), ("--ct-arithmetic", "cpu"), ("--max-shard-size", "1GB")], ids=" ".join)
@pytest.mark.parametrize("target", OTHERS)
def test_other_targets_have_no_such_options(target, flags, llama, tmp_path):
    ran = support.run("convert", llama[0], tmp_path / "out", "--to", target, *OTHERS[target], *flags)
    support.assert_refused(ran, 64, f"{flags[0]} is not for this target")


def test_which_servers_cannot_load_it_is_said(llama, tmp_path):
    folder, _ = llama
    said = {word: convert(folder, tmp_path / word, word).stderr for word in SCHEMES}
    assert "tpu-inference" not in said["fp8-dynamic"]
    for word in SCHEMES.keys() - {"fp8-dynamic"}:
        assert "tpu-inference" in said[word], word
    assert [word for word in SCHEMES if "transformers" in said[word]] == ["w4a16-asym"]
