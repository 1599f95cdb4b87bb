"""`ckpt diff`: what it says of two checkpoints is what numpy counts, whatever their formats, within the memory it was given."""

import json
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

import bfloat16
import gguf_model
import support
from gguf_file import GgufFile
from test_budget import assert_within

EQUAL, DIFFERENT = 0, 1
MIXED = ("Q4_K", "Q5_0", "Q6_K", "Q8_0", "Q5_K", "Q3_K", "IQ4_XS", "Q5_1", "Q2_K")
GOLDEN_PAIRS = [(f"jetstream-pytorch/{name}/input", f"jetstream-pytorch/{name}/bf16")
                for name in ("llama-3-hf", "llama-2-meta", "gemma", "mixtral")]


def diff(a, b, *flags, expect):
    """What `ckpt diff --json` says."""
    return json.loads(support.run("diff", a, b, "--json", *flags, expect=expect).stdout)


def ulps(a, b):
    """ULPs between bf16 bit patterns, -0 and +0 one apart: the definition, element by element in int64."""
    def order(bits):
        bits = np.asarray(bits, np.uint16).astype(np.int64)
        return np.where(bits >= 0x8000, 0xFFFF - bits, bits + 0x8000)
    return np.abs(order(a) - order(b))


def role(said, name):
    """The entry of one role."""
    return {entry["role"]: entry for entry in said["roles"]}[name]


def bits_of(folder, tensor):
    kind, shape, data = support.read_tensors(folder / "model.safetensors")[tensor]
    assert kind == "BF16"
    return np.frombuffer(data, np.uint16).reshape(shape)


def changed(folder, copy, change):
    """A copy of a one-file model with changed tensors: `change` gets {name: (dtype, shape, bytes)}."""
    shutil.copytree(folder, copy)
    tensors = support.read_tensors(folder / "model.safetensors")
    change(tensors)
    support.write_tensors(copy / "model.safetensors", tensors)
    return copy


def set_bits(tensors, name, index, bits):
    kind, shape, data = tensors[name]
    values = np.frombuffer(data, np.uint16).reshape(shape).copy()
    values[index] = bits
    tensors[name] = kind, shape, values.tobytes()


@pytest.fixture
def model(tmp_path):
    """A model of the Hugging Face form with heads of 64, so that the query's scale is a power of two."""
    support.small(tmp_path / "hf", adversarial=False)
    return tmp_path / "hf"


@pytest.mark.parametrize("output", ["scanned", "unscanned"])
def test_maxtext_made_of_a_model_is_equal_to_it(output, model, tmp_path):
    support.convert_maxtext(model, tmp_path / "out", (output,))
    said = diff(model, support.items(tmp_path / "out", output), expect=EQUAL)
    assert said["verdict"] == "equal" and said["roles"] == []
    assert said["counts"]["equal"] == said["counts"]["compared"] == 3 + 2 * 9
    assert (said["a"]["scheme"], said["b"]["format"], said["b"]["configuration"]) == ("hf", "orbax", "that of A")


@pytest.mark.parametrize("output", ["scanned", "unscanned"])
def test_the_rounding_of_a_scaled_query_is_counted_as_numpy_counts_it(output, tmp_path):
    shape = support.small(tmp_path / "hf", adversarial=False, head_dim=128)
    support.convert_maxtext(tmp_path / "hf", tmp_path / "out", (output,))
    said = diff(tmp_path / "hf", support.items(tmp_path / "out", output), expect=DIFFERENT)
    assert [entry["role"] for entry in said["roles"]] == ["layer.0.attention.q", "layer.1.attention.q"]
    scale = np.float32(1 / np.sqrt(128))
    for layer in range(2):
        own = bits_of(tmp_path / "hf", f"model.layers.{layer}.self_attn.q_proj.weight")
        stored = bfloat16.round_float32(bfloat16.to_float32(own) * scale)
        back = bfloat16.from_float32(stored * (np.float32(1) / scale))
        apart = ulps(own, back)
        entry = role(said, f"layer.{layer}.attention.q")
        assert entry["different_elements"] == np.count_nonzero(apart) > 0
        assert entry["largest_ulps"] == apart.max()
        head, half, turn, column = entry["worst"]["index"]
        assert entry["axes"] == ["h", "p", "t", "e"]
        assert entry["worst"]["a"]["index"] == [head * 128 + half * 64 + turn, column]
        assert apart.reshape(-1).argmax() == (head * 128 + half * 64 + turn) * shape.dim + column
        difference = np.abs(bfloat16.to_float32(own).astype(float) - bfloat16.to_float32(back)).max()
        assert entry["largest_difference"] == difference


@pytest.mark.parametrize("a, b", GOLDEN_PAIRS)
def test_what_the_original_converter_made_is_equal_to_its_source(a, b):
    for first, second in ((a, b), (b, a)):
        said = diff(support.GOLDEN / first, support.GOLDEN / second, expect=EQUAL)
        assert said["counts"]["compared"] == said["counts"]["equal"] >= 11


def test_our_own_jetstream_pytorch_is_equal_to_its_source_and_every_role_can_be_listed(tmp_path):
    support.small(tmp_path / "hf", adversarial=True)
    support.convert(tmp_path / "hf", tmp_path / "out")
    text = support.run("diff", tmp_path / "hf", tmp_path / "out", "--all", expect=EQUAL).stdout.splitlines()
    assert len(text) == 2 + 21 + 1
    assert "layer.1.attention.q: equal, 65536 elements" in text
    assert text[-1].startswith("equal: 21 of 21 roles equal; 0 of ")
    assert len(diff(tmp_path / "hf", tmp_path / "out", "--all", expect=EQUAL)["roles"]) == 21


def hf_of_gguf(folder, values, kind, heads=4, kv_heads=2):
    """The same model in Hugging Face's form, of values by GGUF's names: rows of q and k from pairs to halves."""
    names = {"token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"}
    layer = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    tensors = {}
    for name, value in values.items():
        stem = name.removesuffix(".weight")
        if stem.endswith(("attn_q", "attn_k")):
            count = heads if stem.endswith("q") else kv_heads
            value = value.reshape(count, -1, 2, value.shape[1]).transpose(0, 2, 1, 3).reshape(value.shape)
        target = names.get(stem) or "model.layers.0." + layer[stem.removeprefix("blk.0.")]
        data = bfloat16.from_float32(value) if kind == "BF16" else np.ascontiguousarray(value, np.float32)
        tensors[target + ".weight"] = kind, value.shape, data.tobytes()
    folder.mkdir()
    support.write_tensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 512, "num_hidden_layers": 1, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "intermediate_size": 768, "vocab_size": 321, "tie_word_embeddings": False}))
    return tensors


@pytest.mark.parametrize("kind", ["F32", "BF16"])
def test_blocks_of_gguf_are_compared_as_what_they_dequantize_to(kind, tmp_path):
    path = tmp_path / "model.gguf"
    gguf_model.write(path, gguf_model.types(*MIXED), dim=512, mlp=768, vocab=321)
    file = GgufFile(path)
    values = {name: file.float32(name) for name in file.tensors}
    hf_of_gguf(tmp_path / "hf", values, kind)
    said = diff(path, tmp_path / "hf", "--all", expect=EQUAL)
    assert said["counts"]["equal"] == 12
    assert {entry["a"]["dtype"] for entry in said["roles"]} == {*MIXED, "F32"}
    assert all(entry["compared_in"] == kind for entry in said["roles"])


def test_what_quantizing_lost_is_counted_as_numpy_counts_it(tmp_path):
    path = tmp_path / "model.gguf"
    values = gguf_model.write(path, gguf_model.types("Q8_0"), dim=512, mlp=768, vocab=321)
    noise = np.random.default_rng(5)
    originals = {name: value + noise.normal(0, 1e-3, value.shape).astype(np.float32) for name, value in values.items()}
    hf_of_gguf(tmp_path / "hf", originals, "BF16")
    said = diff(tmp_path / "hf", path, expect=DIFFERENT)
    for tensor, name in (("blk.0.ffn_up.weight", "layer.0.feed_forward.up"), ("output_norm.weight", "norm")):
        a, b = bfloat16.from_float32(originals[tensor]), bfloat16.from_float32(values[tensor])
        apart = ulps(a, b)
        entry = role(said, name)
        assert (entry["compared_in"], entry["compared_as"]) == ("BF16", "values")
        assert entry["different_elements"] == np.count_nonzero(apart) > 0
        assert entry["largest_ulps"] == apart.max()
        assert tuple(entry["worst"]["index"]) == np.unravel_index(apart.argmax(), apart.shape)


def test_one_changed_element_is_found_with_its_index_ulps_tensors_and_files(model, tmp_path):
    support.convert_maxtext(model, tmp_path / "out", ("scanned",))
    name = "model.layers.1.self_attn.o_proj.weight"
    old = int(bits_of(model, name)[200, 130])
    new = old + 3 if old & 0x7F < 0x7C else old - 3
    other = changed(model, tmp_path / "other", lambda tensors: set_bits(tensors, name, (200, 130), new))
    scanned = support.items(tmp_path / "out", "scanned")
    said = diff(other, scanned, expect=DIFFERENT)
    (entry,) = said["roles"]
    assert (entry["role"], entry["verdict"], entry["different_elements"], entry["largest_ulps"]) == (
        "layer.1.attention.o", "different", 1, 3)
    assert dict(zip(entry["axes"], entry["worst"]["index"])) == {"e": 200, "h": 2, "d": 2}
    a, b = entry["worst"]["a"], entry["worst"]["b"]
    assert (a["tensor"], a["index"], a["file"]) == (name, [200, 130], str(other / "model.safetensors"))
    assert b["tensor"].endswith("self_attention/out/kernel") and b["index"] == [2, 1, 2, 200]
    assert b["file"].startswith(str(scanned))
    values = bfloat16.to_float32([new, old])
    assert (a["value"], b["value"]) == tuple(values.tolist())
    assert entry["largest_difference"] == abs(float(values[0]) - float(values[1]))
    text = support.run("diff", other, scanned, expect=DIFFERENT).stdout
    assert "layer.1.attention.o: 1 of 65536 elements differ, at most 3 ULPs of BF16" in text
    assert "largest at e 200, h 2, d 2" in text and str(other / "model.safetensors") in text


def test_signs_of_zero_and_nan_are_bits(model, tmp_path):
    def with_bits(folder, bits):
        def change(tensors):
            for at, value in enumerate(bits):
                set_bits(tensors, "model.norm.weight", at, value)
        return changed(model, tmp_path / folder, change)
    a = with_bits("a", (0x8000, 0x7FC0, 0x7FC0))
    assert diff(a, a, expect=EQUAL)["counts"]["different_elements"] == 0
    b = with_bits("b", (0x0000, 0x7FC0, 0x3F80))
    entry = role(diff(a, b, expect=DIFFERENT), "norm")
    assert (entry["different_elements"], entry["nan_elements"], entry["largest_ulps"], entry["largest_difference"]) == (2, 1, 1, 0)
    assert entry["worst"]["index"] == [0]


def test_a_longer_vocabulary_is_equal_where_its_further_rows_are_zeros(model, tmp_path):
    def pad(last):
        def change(tensors):
            for name in ("model.embed_tokens.weight", "lm_head.weight"):
                kind, (rows, columns), data = tensors[name]
                more = np.zeros((64, columns), np.uint16)
                more[63, 7] = last
                tensors[name] = kind, (rows + 64, columns), data + more.tobytes()
        return change
    for folder, last, expect in (("zeros", 0, EQUAL), ("others", 0x8001, DIFFERENT)):
        padded = changed(model, tmp_path / folder, pad(last))
        config = json.loads((padded / "config.json").read_text())
        (padded / "config.json").write_text(json.dumps({**config, "vocab_size": 384}))
        said = diff(model, padded, expect=expect)
        assert said["counts"]["padded"] == (2 if expect == EQUAL else 0)
        for entry in said["roles"]:
            assert entry["more"] == {"side": "b", "axis": "v", "extent": 64, "is_zero": expect == EQUAL}
            assert entry["different_elements"] == 0 and entry["elements"] == 320 * 256
        assert "B has 64 more of v" in support.run("diff", model, padded, expect=expect).stdout


def test_other_shapes_and_roles_of_one_side_are_listed(model, tmp_path):
    support.small(tmp_path / "other", adversarial=False, layers=3, mlp=512)
    said = diff(model, tmp_path / "other", expect=DIFFERENT)
    counts = said["counts"]
    assert (counts["other_shape"], counts["only_in_a"], counts["only_in_b"]) == (6, 0, 9)
    entry = role(said, "layer.0.feed_forward.down")
    assert (entry["verdict"], entry["a"]["shape"], entry["b"]["shape"]) == ("other_shape", [256, 384], [256, 512])
    assert "worst" not in entry
    only = role(said, "layer.2.attention.k")
    assert (only["verdict"], only["a"], only["is_difference"]) == ("only_in_b", None, True)
    text = support.run("diff", tmp_path / "other", model, expect=DIFFERENT).stdout
    assert "layer.0.feed_forward.down: [e 256, f 512] in A, [e 256, f 384] in B: not compared" in text
    assert "layer.2.attention.k: only in A" in text


def test_a_role_that_the_other_form_has_no_place_for_is_no_difference(tmp_path):
    """Meta's files may hold the rotary frequencies; Hugging Face's have no such tensor."""
    golden = support.GOLDEN / "jetstream-pytorch/llama-3-hf"
    shutil.copytree(golden / "bf16", tmp_path / "with")
    tensors = support.read_tensors(golden / "bf16/model.safetensors")
    tensors["rope.freqs"] = "BF16", (64,), bytes(128)
    support.write_tensors(tmp_path / "with/model.safetensors", tensors)
    said = diff(golden / "input", tmp_path / "with", expect=EQUAL)
    assert [(entry["role"], entry["verdict"], entry["is_difference"]) for entry in said["roles"]] == [
        ("rope_freqs", "only_in_b", False)]
    config = golden / "input/config.json"
    said = diff(golden / "bf16", tmp_path / "with", "--config-a", config, "--config-b", config, expect=DIFFERENT)
    assert [(entry["role"], entry["is_difference"]) for entry in said["roles"]] == [("rope_freqs", True)]


def test_the_list_ends_after_some_dozens(tmp_path):
    for seed in (1, 2):
        support.small(tmp_path / str(seed), adversarial=False, seed=seed, layers=6)
    text = support.run("diff", tmp_path / "1", tmp_path / "2", expect=DIFFERENT).stdout
    assert text.count("elements differ") == 30 + 1
    assert "and 27 more: --all lists every role" in text
    assert len(diff(tmp_path / "1", tmp_path / "2", expect=DIFFERENT)["roles"]) == 57


def test_a_side_without_configuration_is_read_as_the_other_says_or_as_one_is_told(model, tmp_path):
    config = json.loads((model / "config.json").read_text())
    scaled = {**config, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    (model / "config.json").write_text(json.dumps(scaled))
    support.convert_maxtext(model, tmp_path / "out", ("unscanned",))
    items = support.items(tmp_path / "out", "unscanned")
    said = diff(items, model, expect=EQUAL)
    assert said["a"]["configuration"] == "that of B" and said["a"]["facts"]["rope"] == "interleaved"
    said = diff(model, items, "--rope-layout-b", "half", expect=DIFFERENT)
    assert {entry["role"].split(".", 2)[2] for entry in said["roles"]} == {"attention.q", "attention.k"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert diff(model, items, "--config-b", tmp_path / "config.json", expect=DIFFERENT)["counts"]["different"] == 4
    (tmp_path / "config.json").write_text(json.dumps(scaled))
    assert diff(items, items, "--config-a", tmp_path / "config.json", expect=EQUAL)["a"]["configuration"].endswith("config.json")


def test_the_json_has_one_schema(model, tmp_path):
    other = changed(model, tmp_path / "other", lambda tensors: set_bits(tensors, "model.norm.weight", 3, 0x7F80))
    said = diff(model, other, "--all", expect=DIFFERENT)
    assert list(said) == ["verdict", "family", "a", "b", "counts", "read_bytes", "memory", "roles"]
    assert said["family"] == "llama" and said["verdict"] == "different"
    assert set(said["a"]) == {"source", "format", "scheme", "configuration", "dims", "facts"}
    assert said["a"]["source"] == str(model) and said["a"]["dims"]["e"] == 256
    assert set(said["counts"]) == {"compared", "equal", "different", "padded", "other_shape", "only_in_a", "only_in_b",
                                   "elements", "different_elements", "largest_ulps"}
    assert said["memory"]["granted_peak_bytes"] <= said["memory"]["budget_bytes"]
    assert said["read_bytes"] == sum(2 * path.stat().st_size for path in model.glob("*.safetensors")) - 2 * header_bytes(model)
    entry = role(said, "norm")
    assert set(entry) == {"role", "verdict", "is_difference", "axes", "a", "b", "compared_in", "compared_as", "elements",
                          "different_elements", "nan_elements", "largest_ulps", "largest_difference", "worst"}
    assert entry["a"] == {"dtype": "BF16", "shape": [256], "tensors": ["model.norm.weight"]}
    assert set(entry["worst"]["a"]) == {"value", "tensor", "index", "file"}
    assert entry["largest_difference"] is None and entry["worst"]["b"]["value"] is None  # infinite
    assert set(role(said, "output")) == set(entry) - {"worst"}


def header_bytes(folder):
    data = (folder / "model.safetensors").read_bytes()[:8]
    return 8 + int.from_bytes(data, "little")


def test_trouble_ends_with_its_own_status_and_names_the_side(model, tmp_path):
    def without(name):
        return lambda tensors: tensors.pop(name)
    lacking = changed(model, tmp_path / "lacking", without("model.layers.1.mlp.up_proj.weight"))
    support.assert_refused(support.run("diff", model, lacking), 65, "model.layers.1.mlp.up_proj.weight", "missing", "side    B")
    gemma = support.GOLDEN / "jetstream-pytorch/gemma/input"
    support.assert_refused(support.run("diff", model, gemma), 65, "family llama", "family gemma")
    support.assert_refused(support.run("diff", tmp_path / "none/at/all", model), 66, "side    A")
    support.assert_refused(support.run("diff", model), 64)
    support.assert_refused(support.run("diff", model, model, "--memory", "1MiB"), 64, "--memory")
    support.assert_refused(support.run("diff", model, model, "--rope-layout-a", "sideways"), 64, "sideways", "side")
    quantized = support.GOLDEN / "jetstream-pytorch/llama-3-hf/int8_per_channel"
    support.assert_refused(support.run("diff", model, quantized), 65, "weight_scaler", "side    B")


def test_damage_is_trouble_and_no_difference(model, tmp_path):
    support.convert_maxtext(model, tmp_path / "out", ("scanned",))
    items = support.items(tmp_path / "out", "scanned")
    data = max(items.rglob("d/*"), key=lambda path: path.stat().st_size)
    spoilt = bytearray(data.read_bytes())
    for at in range(0, len(spoilt), 4096):
        spoilt[at + 1000 if at + 1000 < len(spoilt) else at] ^= 1
    data.write_bytes(spoilt)
    support.assert_refused(support.run("diff", model, items), 65, "CRC-32C", data.name)


@pytest.mark.parametrize("flags", [("--memory", "128MiB"), ("--memory", "256MiB", "--threads", "7"), ("--memory", "256MiB", "--io", "direct")])
def test_memory_stays_within_the_budget(flags, bench_maxtext, bench_model):
    ran = support.run("diff", bench_model, bench_maxtext, "--quiet", *flags, expect=DIFFERENT)
    assert_within(ran, support.MIB * int(flags[1].removesuffix("MiB")))
    assert "67 of 75 roles equal" in ran.stdout


@pytest.fixture(scope="module")
def bench_maxtext(bench_model):
    folder = support.DATA / "diff-of-bench"
    shutil.rmtree(folder, ignore_errors=True)
    support.convert_maxtext(bench_model, folder, ("scanned",))
    yield support.items(folder, "scanned")
    shutil.rmtree(folder)


def test_sigterm_is_answered_within_seconds(sparse_8gb):
    """A model that takes longer than the signal: in one lane, past the page cache."""
    with subprocess.Popen([support.PROGRAM, "diff", sparse_8gb, sparse_8gb, "--threads", "1", "--io", "direct"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        time.sleep(0.5)
        assert running.poll() is None, "it ended before the signal: the model is too small for this test"
        running.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        _, said = running.communicate(timeout=20)
        assert time.monotonic() - begin < 3
    assert running.returncode == 143 and "ckpt: terminated: " in said


def test_a_signature_in_an_address_is_never_shown(model):
    """No host has this name, so it is known at once that nothing answers."""
    ran = support.run("diff", model, "https://nowhere.invalid/model.safetensors?X-Signature=geheim", timeout=60)
    assert ran.exit_code not in (EQUAL, DIFFERENT)
    assert "geheim" not in ran.stdout + ran.stderr and "nowhere.invalid" in ran.stderr
