"""Hugging Face's form is written from every source: the tensors of the published model, in files that are the reference's bytes."""

import json
import shutil

import numpy as np
import pytest

import bfloat16
import hf_checkpoint
import hf_sources
import kaggle_golden
import support
from hf_checkpoint import convert, different, read

SMALL = "20KB"  # some tensors of the small models are larger, most are smaller


# --- from Hugging Face's form itself

@pytest.fixture(scope="module", params=hf_sources.SOURCES)
def source(request, tmp_path_factory):
    """A folder of a family, with the small files that come with a model."""
    folder = tmp_path_factory.mktemp(request.param) / "in"
    hf_sources.SOURCES[request.param](folder)
    side_files = hf_sources.add_side_files(folder)
    return folder, side_files


@pytest.mark.parametrize("flags", [(), ("--max-shard-size", SMALL)], ids=["one", "several"])
def test_every_tensor_and_every_side_file_is_the_sources(flags, source, tmp_path):
    folder, side_files = source
    convert(folder, tmp_path / "out", *flags)
    files = hf_checkpoint.assert_well_made(tmp_path / "out", 20_000 if flags else hf_checkpoint.MOST_BYTES)
    assert files > 3 if flags else files == 1
    assert different(read(tmp_path / "out"), read(folder)) == []
    kept = {**side_files, "config.json": (folder / "config.json").read_bytes()}
    if (folder / "generation_config.json").exists():
        kept["generation_config.json"] = (folder / "generation_config.json").read_bytes()
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file() and "safetensors" not in path.name}
    assert made == kept
    told = support.report(tmp_path / "out")
    assert told["warnings"] == []
    assert told["settings"]["max_shard_bytes"] == (20_000 if flags else 0)
    assert {file["name"]: file["size_bytes"] for file in told["files"]} == {
        path.name: path.stat().st_size for path in hf_checkpoint.files_of(tmp_path / "out")}
    names = {companion["name"] for companion in told["companions"]}
    assert names == kept.keys() | ({hf_checkpoint.INDEX} if flags else set())


def test_tied_models_have_no_head_of_their_own(tmp_path):
    hf_sources.SOURCES["llama-tied"](tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out")
    tensors = read(tmp_path / "out")
    assert "lm_head.weight" not in tensors
    # MaxText has a copy of the embedding, which stays one on the way back, and that is said.
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",))
    ran = convert(support.items(tmp_path / "maxtext", "scanned"), tmp_path / "back")
    assert "tie_word_embeddings" in ran.stderr
    assert different(read(tmp_path / "back"), {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}) == []


def test_a_head_that_only_the_source_ties_is_written(tmp_path):
    """GGUF leaves it out; a config.json that does not tie it makes loaders expect one."""
    hf_sources.write_llama(tmp_path / "hf", tied=True)
    source, _ = hf_sources.as_llama_gguf("BF16")(tmp_path / "in", tmp_path / "hf")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    tensors = read(tmp_path / "hf")
    convert(source, tmp_path / "tied", "--config", tmp_path / "hf/config.json")
    assert different(read(tmp_path / "tied"), tensors) == []
    (tmp_path / "untied.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    convert(source, tmp_path / "untied", "--config", tmp_path / "untied.json")
    assert different(read(tmp_path / "untied"), {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}) == []


def test_a_new_file_begins_where_the_next_tensor_would_be_too_much(tmp_path):
    """Tensors in the order of the family's table; each counts with 512 bytes for its place in the header."""
    hf_sources.SOURCES["llama3"](tmp_path / "in")
    limit = 70_000
    convert(tmp_path / "in", tmp_path / "out", "--max-shard-size", str(limit))
    sizes = [sum(len(data) + 512 for _, _, data in support.read_tensors(path).values())
             for path in hf_checkpoint.files_of(tmp_path / "out")]
    order = ["model.embed_tokens.weight"]
    order += [f"model.layers.0.{name}.weight" for name in (
        "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]
    order += ["model.norm.weight", "lm_head.weight"]
    tensors, expected = read(tmp_path / "in"), [0]
    for name in order:
        size = len(tensors[name][2]) + 512
        if expected[-1] and expected[-1] + size > limit:
            expected.append(0)
        expected[-1] += size
    assert sizes == expected


# --- from every other form

@pytest.mark.parametrize("form", hf_sources.FORMS)
def test_every_form_gives_the_tensors_of_hugging_faces(form, tmp_path):
    write_hf, write_form = hf_sources.FORMS[form]
    write_hf(tmp_path / "hf")
    source, flags = write_form(tmp_path / "in", tmp_path / "hf")
    config = tmp_path / "hf/config.json"
    convert(source, tmp_path / "out", "--config", config, "--max-shard-size", SMALL, *flags)
    assert hf_checkpoint.assert_well_made(tmp_path / "out", 20_000) > 1
    assert different(read(tmp_path / "out"), read(tmp_path / "hf")) == []
    assert (tmp_path / "out/config.json").read_bytes() == config.read_bytes()


@pytest.mark.parametrize("size", ["gemma-2b", "gemma-7b"])
def test_kaggles_orbax_files_give_what_their_arrays_hold(size, tmp_path):
    """The release's own files; what is made of them is converted to MaxText, too, and gives what they give there."""
    source = support.GOLDEN / "maxtext" / size / "kaggle"
    config = kaggle_golden.write_config(tmp_path / "config.json", source)
    convert(source, tmp_path / "hf", "--config", config)
    hf_checkpoint.assert_well_made(tmp_path / "hf")
    assert different(read(tmp_path / "hf"), kaggle_golden.tensors(source)) == []
    outputs = ("scanned", "unscanned", "int8")
    support.convert_maxtext(source, tmp_path / "direct", outputs)
    support.convert_maxtext(tmp_path / "hf", tmp_path / "through", outputs)
    assert support.outputs_of(tmp_path / "through") == support.outputs_of(tmp_path / "direct")


def test_metas_golden_gives_the_tensors_of_the_jetstream_golden(tmp_path):
    """Another file of the same weights, made by the original converter: equal but for names, and the order of q and k rows."""
    golden = support.GOLDEN / "jetstream-pytorch/llama-2-meta"
    params = json.loads((golden / "input/params.json").read_text())
    heads, wide = params["n_heads"], support.read_tensors(golden / "bf16/model.safetensors")
    dims = {"hidden_size": params["dim"], "num_hidden_layers": params["n_layers"], "num_attention_heads": heads,
            "num_key_value_heads": params.get("n_kv_heads") or heads, "vocab_size": wide["tok_embeddings.weight"][1][0],
            "intermediate_size": wide["layers.0.feed_forward.w1.weight"][1][0]}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama", **dims}))
    convert(golden / "input", tmp_path / "out", "--config", config)
    made = read(tmp_path / "out")
    expected = {}
    for name, tensor in made.items():
        meta = hf_sources.meta_model.meta_name_of_hf(name)
        if ".q_proj." in name or ".k_proj." in name:
            tensor = (*tensor[:2], hf_sources.meta_model.paired(tensor[2], tensor[1], params["dim"] // heads))
        expected[meta] = tensor
    theirs = {name: (dtype, tuple(shape), data) for name, (dtype, shape, data) in wide.items() if name != "rope.freqs"}
    assert different(expected, theirs) == []


# --- types

def as_type(folder, dtype, target):
    """The golden with every tensor in another type; {name: (dtype, shape, bytes)}."""
    shutil.copytree(hf_sources.GOLDENS["llama3"], folder)
    (folder / hf_checkpoint.INDEX).unlink()  # it has the sum of the bytes
    noise = np.random.default_rng(17)
    tensors = {name: ("F32" if dtype == "F32" else "F16", shape, noise.normal(0, 1, shape).astype(target).tobytes())
               for name, (_, shape, _) in read(folder).items()}
    for path in hf_checkpoint.files_of(folder):
        own = support.read_tensors(path)
        support.write_tensors(path, {name: tensors[name] for name in own})
    return tensors


@pytest.mark.parametrize("dtype, target", [("F32", np.float32), ("F16", np.float16)])
def test_other_types_are_rounded_with_a_warning_or_kept(dtype, target, tmp_path):
    tensors = as_type(tmp_path / "in", dtype, target)
    ran = convert(tmp_path / "in", tmp_path / "rounded")
    warning = f"{len(tensors)} tensors are {dtype}: rounded to BF16"
    assert warning in ran.stderr
    assert support.report(tmp_path / "rounded")["warnings"] == [warning]
    rounded = {name: ("BF16", shape, bfloat16.from_float32(np.frombuffer(data, target).astype(np.float32)).tobytes())
               for name, (_, shape, data) in tensors.items()}
    assert different(read(tmp_path / "rounded"), rounded) == []
    hf_checkpoint.assert_well_made(tmp_path / "rounded")
    ran = convert(tmp_path / "in", tmp_path / "kept", "--preserve-dtype", "--max-shard-size", SMALL)
    assert "rounded" not in ran.stderr
    assert different(read(tmp_path / "kept"), tensors) == []
    hf_checkpoint.assert_well_made(tmp_path / "kept", 20_000)


# --- refusals

@pytest.fixture
def meta(tmp_path):
    """A source without a config.json."""
    hf_sources.write_llama(tmp_path / "hf")
    return hf_sources.as_meta(tmp_path / "meta", tmp_path / "hf")[0]


def test_a_source_without_a_configuration_is_refused_with_the_way_out(meta, tmp_path):
    support.assert_refused(convert(meta, tmp_path / "out", expect=64), 64, "config.json", "--config FILE")
    assert not (tmp_path / "out").exists()


CONFIG_FILES = {
    "missing": (lambda path: None, 66),
    "folder": (lambda path: path.mkdir(), 64),
    "no-json": (lambda path: path.write_text("{\"hidden_size\": "), 65),
    "no-object": (lambda path: path.write_text("[1, 2]"), 65),
    "empty": (lambda path: path.write_text(""), 65),
}


@pytest.mark.parametrize("case", CONFIG_FILES)
def test_a_configuration_that_is_none_is_refused_by_name(case, meta, tmp_path):
    write, code = CONFIG_FILES[case]
    write(tmp_path / "my-config.json")
    ran = convert(meta, tmp_path / "out", "--config", tmp_path / "my-config.json", expect=code)
    support.assert_refused(ran, code, "my-config.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size, mention", [("many", "no size"), ("5XB", "no size"), ("-1", "no size"), ("0", "below 1 KiB"),
                                           ("1000", "below 1 KiB")])
def test_a_limit_that_is_none_is_refused(size, mention, tmp_path):
    ran = convert(hf_sources.GOLDENS["llama3"], tmp_path / "out", f"--max-shard-size={size}", expect=64)
    support.assert_refused(ran, 64, "--max-shard-size", mention)


@pytest.mark.parametrize("name", ["notes.txt", "model-00007-of-00009.safetensors", "config.json"])
def test_a_foreign_file_in_the_destination_is_safe(name, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    support.assert_refused(convert(hf_sources.GOLDENS["llama3"], tmp_path / "out", expect=73), 73, name)
    assert support.contents(tmp_path / "out").keys() == {name}
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_overwriting_leaves_nothing_of_the_checkpoint_before(tmp_path):
    convert(hf_sources.GOLDENS["llama3"], tmp_path / "out", "--max-shard-size", SMALL)
    convert(hf_sources.GOLDENS["llama2"], tmp_path / "out", expect=73)
    convert(hf_sources.GOLDENS["llama2"], tmp_path / "out", "--overwrite")
    assert hf_checkpoint.assert_well_made(tmp_path / "out") == 1
    assert different(read(tmp_path / "out"), read(hf_sources.GOLDENS["llama2"])) == []


@pytest.mark.parametrize("key, value, mention", [("intermediate_size", 96, "96, the weights have 384"), ("vocab_size", 99, "99"),
                                                 ("num_hidden_layers", 3, "3, the weights have 2"), ("head_dim", 32, "32"),
                                                 ("num_key_value_heads", 4, "4, the weights have 2")])
def test_a_configuration_of_another_model_is_refused(key, value, mention, meta, tmp_path):
    config = json.loads((tmp_path / "hf/config.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**config, key: value}))
    gguf, _ = hf_sources.as_llama_gguf("BF16")(tmp_path / "gguf", tmp_path / "hf")
    for source in (meta, gguf):  # whose own configurations tell the sizes
        ran = convert(source, tmp_path / "out", "--config", tmp_path / "other.json", expect=65)
        support.assert_refused(ran, 65, "config.json", key, mention)
        assert not (tmp_path / "out").exists()
    ran = convert(tmp_path / "hf", tmp_path / "out", "--config", tmp_path / "other.json", expect=65)
    support.assert_refused(ran, 65, "other.json")


def test_quantizing_is_refused(tmp_path):
    ran = convert(hf_sources.GOLDENS["llama3"], tmp_path / "out", "--quantize", "int8_per_channel", expect=64)
    support.assert_refused(ran, 64, "--quantize")


@pytest.mark.parametrize("prefix, inner", [("language_model.model.", ""), ("model.language_model.", "model.")])
def test_the_text_of_a_model_of_images_needs_a_configuration_of_its_own(prefix, inner, tmp_path):
    sizes, _, write, _ = hf_sources.test_gemma23.of_multimodal(prefix, inner)
    write(tmp_path / "in")
    support.assert_refused(convert(tmp_path / "in", tmp_path / "out", expect=64), 64, "more than text", "--config FILE")
    (tmp_path / "text.json").write_text(json.dumps(sizes.config()))
    convert(tmp_path / "in", tmp_path / "out", "--config", tmp_path / "text.json")
    tensors = {name.removeprefix(prefix): tensor for name, tensor in read(tmp_path / "in").items() if name.startswith(prefix)}
    assert len(tensors) == 2 + 7 * 13
    assert different(read(tmp_path / "out"), {f"model.{name}": tensor for name, tensor in tensors.items()}) == []
