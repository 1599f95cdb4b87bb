"""Where MaxText outputs go, what is never touched, and what is refused, all at once and in words."""

import json

import pytest

import support

DIMS = {"layers": 1, "dim": 64, "heads": 4, "kv_heads": 2, "mlp": 96, "vocab": 80}
TWO = ("scanned", "int8")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    support.small(folder, adversarial=False, **DIMS)
    return folder


def test_the_same_command_again_changes_nothing_and_says_the_same(source, tmp_path):
    first = support.convert_maxtext(source, tmp_path / "out", TWO)
    before = support.contents(tmp_path / "out")
    again = support.convert_maxtext(source, tmp_path / "out", TWO)
    assert support.contents(tmp_path / "out") == before
    assert "already" in again.stdout
    told = [[line for line in ran.stdout.splitlines() if "load with" in line] for ran in (first, again)]
    assert told[0] and told[0] == told[1]


@pytest.mark.parametrize("outputs, flags", [(("scanned",), []), (TWO, ["--dtype", "float32"])])
def test_an_output_of_other_settings_is_kept(outputs, flags, source, tmp_path):
    support.convert_maxtext(source, tmp_path / "out", TWO)
    before = support.contents(tmp_path / "out")
    ran = support.convert_maxtext(source, tmp_path / "out", outputs, *flags, expect=73)
    support.assert_refused(ran, 73, "--overwrite")
    assert support.contents(tmp_path / "out") == before


def test_overwrite_replaces_the_outputs_with_the_same_bytes(source, tmp_path):
    support.convert_maxtext(source, tmp_path / "out", TWO)
    before = support.outputs_of(tmp_path / "out")
    support.convert_maxtext(source, tmp_path / "out", TWO, "--overwrite")
    assert support.outputs_of(tmp_path / "out") == before


def test_what_lies_beside_the_outputs_stays(source, tmp_path):
    notes = tmp_path / "out/bf16/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    support.convert_maxtext(source, tmp_path / "out", TWO)
    support.convert_maxtext(source, tmp_path / "out", TWO, "--overwrite")
    assert notes.read_text() == "mine"


def test_a_foreign_file_at_an_outputs_place_is_refused_and_kept(source, tmp_path):
    foreign = tmp_path / "out/int8/thesis.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    support.assert_refused(support.convert_maxtext(source, tmp_path / "out", TWO, expect=73), 73, "int8")
    assert support.contents(tmp_path / "out") == {"int8/thesis.txt": support.fingerprint(foreign)}


def test_one_output_may_lie_elsewhere_with_the_same_bytes(source, tmp_path):
    support.convert_maxtext(source, tmp_path / "here", TWO)
    support.convert_maxtext(source, tmp_path / "there", TWO, "--output", f"int8={tmp_path / 'served/model'}")
    assert support.contents(tmp_path / "served/model") == support.contents(tmp_path / "here/int8")
    assert not (tmp_path / "there/int8").exists()


@pytest.mark.parametrize("outputs, flags, word", [
    (("scaned",), [], "scanned"), (("scanned",), ["--quantize", "int8_per_channel"], "--quantize"),
    (("scanned",), ["--mesh", "model=4"], "mesh"), (("scanned",), ["--dtype", "float8"], "--dtype"),
    (("scanned",), ["--rope-layout", "whole"], "--rope-layout"), (("scanned",), ["--compression", "lz4"], "--compression"),
])
def test_wrong_words_are_named_before_anything_is_written(outputs, flags, word, source, tmp_path):
    support.assert_refused(support.convert_maxtext(source, tmp_path / "out", outputs, *flags, expect=64), 64, word)
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_name_is_refused_with_a_near_one(source, tmp_path):
    ran = support.convert_maxtext(source, tmp_path / "out", TWO, model="llama3.1-8c", expect=64)
    support.assert_refused(ran, 64, "llama3.1-8b")


@pytest.mark.parametrize("flags, layout", [([], "half"), (["--rope-layout", "interleaved"], "interleaved")])
def test_the_report_tells_the_rotary_layout_that_was_written(flags, layout, source, tmp_path):
    support.convert_maxtext(source, tmp_path / "out", TWO, *flags)
    assert any(layout in note for note in support.report(tmp_path / "out")["model"]["notes"])


def test_every_output_says_what_its_server_must_be_told(source, tmp_path):
    support.convert_maxtext(source, tmp_path / "out", TWO)
    told = {output["name"]: " ".join(output["load_with"]) for output in support.report(tmp_path / "out")["outputs"]}
    assert "load_parameters_path" in told["scanned"]
    assert "checkpoint_is_quantized=true" in told["int8"]


def test_a_nan_in_a_quantized_tensor_is_named(source, tmp_path):
    tensors = support.read_tensors(source / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    dtype, shape, data = tensors[name]
    tensors[name] = (dtype, shape, b"\xc0\x7f" + data[2:])
    (tmp_path / "source").mkdir()
    (tmp_path / "source/config.json").write_text((source / "config.json").read_text())
    support.write_tensors(tmp_path / "source/model.safetensors", tensors)
    ran = support.convert_maxtext(tmp_path / "source", tmp_path / "out", ("int8",), expect=65)
    support.assert_refused(ran, 65, name)
    assert support.outputs_of(tmp_path / "out") == {}


def test_the_plan_is_the_reports(source, tmp_path):
    """What was planned is what was done: digests, arrays, chunks, bytes."""
    planned = json.loads(support.run("plan", source, "--to", "maxtext", "--outputs", ",".join(TWO), "--json", expect=0).stdout)
    support.convert_maxtext(source, tmp_path / "out", TWO)
    report = support.report(tmp_path / "out")
    assert (planned["layout_digest"], planned["run_digest"]) == (report["layout_digest"], report["run_digest"])
    assert planned["bytes"]["read"] == report["bytes"]["read"]
    kept = ("dtype", "shape", "chunk")
    assert {key: [array[part] for part in kept] for key, array in support.arrays_of(planned).items()} == {
        key: [array[part] for part in kept] for key, array in support.arrays_of(report).items()}


def test_verify_takes_one_output_by_its_path_and_finds_the_report_above(source, tmp_path):
    out = tmp_path / "out"
    support.convert_maxtext(source, out, TWO)
    for part in ("int8", "bf16", "bf16/scanned/0/items", ""):
        assert support.run("verify", out / part, expect=0)
    data = max((out / "int8/d").iterdir(), key=lambda path: path.stat().st_size)
    with data.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xfe\xfd")
    support.run("verify", out / "bf16/scanned/0", expect=0)
    support.assert_refused(support.run("verify", out / "int8", expect=65), 65, "CRC-32C")
    support.run("verify", tmp_path, expect=66)
