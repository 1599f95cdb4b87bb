"""Every leaf equals what MaxText's own tools wrote, by check_orbax_tree.py: real Orbax restores both and compares them.

The originals' bf16 trees went through float16 on the way (their scanned one still is float16), so floats are compared after
rounding both to bf16, 3e-8 (half of float16's smallest step) is forgiven, and the query's other rounding may move it by one step.
"""

import pytest

import real_orbax
import support

GOLDEN = support.GOLDEN / "maxtext"
NAMES = {"llama2": "llama2-7b", "llama3.1": "llama3.1-8b"}
OUTPUTS = ("scanned", "unscanned", "int8", "int8w", "int4w")
ORIGINALS = [
    ("llama2", "scanned", "bf16/scanned"), ("llama2", "unscanned", "bf16/unscanned"), ("llama2", "int8", "int8"),
    ("llama3.1", "scanned", "bf16/scanned"), ("llama3.1", "unscanned", "bf16/unscanned"), ("llama3.1", "int8", "int8"),
    ("llama3.1", "int8w", "intmp-int8_weight_only"), ("llama3.1", "int4w", "intmp-int4_weight_only"),
]
RULES = ["--cast", "--atol", "3e-8", "--ulp-for", "query/kernel=1", "--jax"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{model: folder} of all outputs of each golden source."""
    folder = tmp_path_factory.mktemp("made")
    for model, name in NAMES.items():
        support.convert_maxtext(GOLDEN / model / "hf", folder / model, OUTPUTS, model=name)
    return folder


@pytest.mark.parametrize("model, output, original", ORIGINALS)
def test_every_leaf_equals_the_original(model, output, original, made):
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", support.items(made / model, output),
                                 GOLDEN / model / original, *RULES)
    print(said)
    assert said.strip().endswith("leaves equal, 0 differ")


@pytest.mark.parametrize("model", NAMES)
def test_the_report_counts_every_byte_that_was_read(model, made):
    source = GOLDEN / model / "hf"
    told = support.report(made / model)["bytes"]
    shards = [support.SafetensorsFile(path) for path in source.glob("*.safetensors")]
    tensors = sum(entry.end - entry.begin for shard in shards for entry in shard.entries.values())
    texts = sum(path.stat().st_size for path in source.iterdir() if path.name in ("config.json", "model.safetensors.index.json"))
    assert told["source_tensors"] == tensors
    assert told["headers"] == sum(shard.data_start for shard in shards) + texts
    assert told["read"] == told["headers"] + tensors + told["read_twice"]


@pytest.mark.parametrize("model", NAMES)
def test_the_report_lists_every_array_with_its_source(model, made):
    arrays = support.arrays_of(support.report(made / model))
    assert len(arrays) == 13 + 31 + 3 * 51
    known = {name for path in (GOLDEN / model / "hf").glob("*.safetensors") for name in support.SafetensorsFile(path).entries}
    for (_, name), array in arrays.items():
        assert array["crc32c"], name
        assert set(array["sources"]) <= known, name
        assert array["sources"] or name == "step", name


@pytest.mark.parametrize("model", NAMES)
def test_verify_accepts_what_convert_wrote(model, made):
    support.run("verify", made / model, expect=0)
    support.run("verify", made / model, "--source", GOLDEN / model / "hf", expect=0)
