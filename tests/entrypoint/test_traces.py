"""The runs of the original script: ours ends with the code that the trace asks for, and leaves what the original left.

Sources that lie in a directory are read. Those of Kaggle, the Hugging Face hub and Meta come later: what their
arguments mean, their validation and their planned paths are checked; a real run must say that it cannot read them yet
(69) and which words will do; and with those words (--input_directory) the same list runs to its end wherever the
stand-in models are of its family.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest

import door

TRACES = json.loads((door.GOLDEN / "entrypoint/traces.json").read_text(encoding="utf-8"))["traces"]
GEMMA = ["gs://bkt/final/scanned/gemma_7b-it/0/items/", "gs://bkt/final/unscanned/gemma_7b-it/0/checkpoints/0/items/"]
LLAMA = ["gs://bkt/o/bf16/scanned/0/items/", "gs://bkt/o/bf16/unscanned/checkpoints/0/items/"]
PYTORCH = "gs://bkt/pytorch/llama2-7b/final"
FILES = ("model.safetensors", "params.json", "tokenizer.model")
DAMAGED = "the original's parsing damaged the bucket's name"
LEFT_OUT = "the original left out what the arguments ask for"
OLDER = "an older layout, not that of d645ad54"
# Where both ended with 0 and the paths differ on purpose: why, and what ours must be.
EXCEPTIONS = {
    "d645ad54/maxtext-gemma-short-equals": (DAMAGED, GEMMA),
    "d645ad54/maxtext-bucket-with-scheme": (DAMAGED, GEMMA),
    "d645ad54/single-dash-long": (DAMAGED, GEMMA),
    "d645ad54/quoted-value": (DAMAGED, GEMMA),
    "7ebb6ce2/kaggle-short-separate": (DAMAGED, GEMMA),
    "7ebb6ce2/kaggle-short-glued": (DAMAGED, GEMMA),
    "d645ad54/maxtext-gemma-quantize-and-output-ignored": (LEFT_OUT, [*GEMMA, "gs://bkt/final/int8/gemma_7b-it/"]),
    "d645ad54/maxtext-quantize-lowercase-true": (LEFT_OUT, [*LLAMA, "gs://bkt/o/int8/"]),
    "d645ad54/maxtext-model-path-lowercase-llama": (LEFT_OUT, LLAMA),
    "f5f61bdc/llama-meta-url-with-equals": (OLDER, LLAMA),
    "8e8f1ac4/llama31-8b-int8": (OLDER, [*LLAMA, "gs://bkt/o/int8/"]),
    "26d5cce3/pytorch-1-2": (OLDER, [f"{PYTORCH}/bf16/{name}" for name in FILES]),
    "26d5cce3/pytorch-1-2-quantize": (OLDER, [f"{PYTORCH}/int8/{name}" for name in FILES]),
}
# Beside the traced paths: what a server is told with quant_cfg_path to load such a tree. The original forgot it.
BESIDE = {"int4w": ["int4_weight_only.json"], "int8w": ["int8_weight_only.json"], "fp8": ["fp8_weight_only.json"],
          "intmp": ["int8_weight_only.json"]}
NOT_READ_YET = {"kaggle": "Kaggle cannot be read by this version",
                "huggingface": "the Hugging Face hub cannot be read by this version",
                "meta": "Meta's signed URL cannot be read by this version"}
HELP = [trace for trace in TRACES
        if trace["id"] in ("d645ad54/help-long", "d645ad54/help-short", "d645ad54/help-after-bad-server")]
# Its note says 64 "unless the family is supported": Mixtral is.
SUPPORTED = [trace for trace in TRACES if trace["id"] == "d645ad54/pytorch-hf-unknown-name"]
REFUSED = [trace for trace in TRACES if trace["ours"]["exit_code"] == 64 and trace not in SUPPORTED]
NO_SECRET = [trace for trace in TRACES if trace["ours"]["exit_code"] == 78]
GOOD = [trace for trace in TRACES if trace["ours"]["exit_code"] == 0 and trace not in HELP]


def name_of(trace: dict) -> str:
    return trace["id"]


@pytest.fixture(scope="module")
def told(program) -> dict[str, dict]:
    """What each good trace's arguments mean, by its id."""
    return {trace["id"]: door.explain(*trace["args"]) for trace in [*GOOD, *NO_SECRET]}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Variables that name good credentials."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "kaggle.json").write_text(json.dumps({"username": "somebody", "key": "0123456789abcdef"}))
    (folder / "HUGGINGFACE_TOKEN").write_text("hf_abcdefghijklmnopqrstuvwxyz\n")
    return {"KAGGLE_CONFIG_DIR": folder, "HUGGINGFACE_TOKEN_DIR": folder}


def planned(told: dict) -> set[str]:
    """The outputs as traces write them: a checkpoint's folder ends in /."""
    is_maxtext = told["server"] == "jetstream-maxtext"
    return {path + ("/" if is_maxtext else "") for path in told["outputs"].values()}


def test_every_trace_is_in_one_group():
    assert len(TRACES) == 93
    assert len(HELP) + len(REFUSED) + len(SUPPORTED) + len(NO_SECRET) + len(GOOD) == 93
    assert set(EXCEPTIONS) <= {trace["id"] for trace in GOOD if trace["exit_code"] == 0}


@pytest.mark.parametrize("trace", HELP, ids=name_of)
def test_help(trace: dict):
    assert door.run(*trace["args"], expect=0).stdout.startswith("Usage: checkpoint_entrypoint.sh ")


@pytest.mark.parametrize("trace", REFUSED, ids=name_of)
def test_a_bad_list_is_refused_before_anything_is_read(trace: dict, root: Path, secrets: dict):
    door.assert_refused(door.run(*trace["args"], root=root, env=secrets), 64)
    assert list(root.rglob("*")) == [root / "bkt"]
    door.assert_refused(door.run("--explain", *trace["args"]), 64)


@pytest.mark.parametrize("trace", SUPPORTED, ids=name_of)
def test_a_family_that_has_come_since_is_taken(trace: dict, root: Path, secrets: dict):
    """The hub cannot be asked yet; with the files the list leaves what their golden says."""
    door.assert_refused(door.run(*trace["args"], root=root, env=secrets), 69, "--input_directory=DIR")
    golden = door.GOLDEN / "jetstream-pytorch/mixtral"
    args = [word for word in trace["args"] if not word.startswith("--huggingface")]
    door.run(*args, f"--input_directory={golden / 'input'}", root=root, expect=0)
    made = next(root.rglob("model.safetensors"))
    assert made.read_bytes() == (golden / "bf16/model.safetensors").read_bytes()


@pytest.mark.parametrize("trace", [trace for trace in GOOD if trace["exit_code"] == 0], ids=name_of)
def test_the_outputs_lie_where_the_original_left_them(trace: dict, told: dict):
    reason, paths = EXCEPTIONS.get(trace["id"], ("", None))
    if paths is None:
        paths = [path for path in trace["output_paths"] if not path.startswith("gs://bkt/base/")]
        assert paths, "the original left nothing: this needs a reason"
    else:
        print(f"{trace['id']}: {reason}")
    assert planned(told[trace["id"]]) == set(paths)


def kinds(told: dict) -> dict[str, list[dict]]:
    """The good traces by what must be read for them."""
    found = defaultdict(list)
    for trace in GOOD:
        source = told[trace["id"]]["source"]
        if "source_otherwise" in told[trace["id"]]:
            source = told[trace["id"]]["source_otherwise"]  # the input directory holds nothing in these runs
        found[source["kind"]].append(trace)
    return found


def test_what_cannot_be_read_yet_says_so_and_which_words_will_do(told: dict, root: Path, secrets: dict):
    counts = {}
    for kind, message in NOT_READ_YET.items():
        traces = kinds(told)[kind]
        counts[kind] = len(traces)
        print(f"{kind}: {len(traces)} traces need a source that comes later:")
        for trace, said in zip(traces, door.many([trace["args"] for trace in traces], root=root, env=secrets),
                               strict=True):
            print(f"  {trace['id']}")
            door.assert_refused(said, 69, message, "--input_directory")
            assert said.lines()[0] == f"Inference server is {told[trace['id']]['server']}"
    print(counts)
    assert counts == {"kaggle": 23, "huggingface": 13, "meta": 16}
    assert list(root.rglob("*")) == [root / "bkt"]


@pytest.mark.parametrize("trace", NO_SECRET, ids=name_of)
def test_a_missing_secret_ends_the_run_before_the_download(trace: dict, told: dict, root: Path):
    said = door.run(*trace["args"], root=root)
    if told[trace["id"]]["source"]["kind"] == "huggingface":
        # Only the hub knows whether a repository asks for a token, and it cannot be asked yet.
        door.assert_refused(said, 69, NOT_READ_YET["huggingface"])
    else:
        door.assert_refused(said, 78, "kaggle.json", "kubectl create secret")


def stand_in(sources: door.Sources, told: dict) -> Path:
    """The small model of the form that a trace's original read."""
    if told["server"] == "jetstream-pytorch":
        return sources.meta if "params" in told["outputs"] else sources.hugging_face
    return sources.llama2 if told["model"].startswith("llama2") else sources.llama31


def test_the_kinds_make_up_all_traces(told: dict):
    counts = {kind: len(traces) for kind, traces in kinds(told).items()}
    print(counts)
    assert sum(counts.values()) == len(GOOD)


@pytest.mark.parametrize("is_mounted", [False, True], ids=["bucket", "mounted"])
def test_traces_that_read_a_directory_run_to_their_end(is_mounted: bool, told: dict, sources: door.Sources,
                                                       tmp_path: Path):
    traces = kinds(told)["directory"]
    assert len(traces) == 10
    for number, trace in enumerate(traces):
        root, mount = tmp_path / f"{number}/gs", tmp_path / f"{number}/models"
        (root / "bkt").mkdir(parents=True)
        args = [word.replace("/models", str(mount)) for word in trace["args"]]
        told = door.explain(*args)
        source = told["source"]
        place = Path(source.get("mounted_at", source["path"])) if is_mounted else door.local(root, source["path"])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(sources.meta)
        said = door.run(*args, root=root, expect=0)
        assert said.finals() == told["wait_for"], said
        read = source.get("mounted_at", source["path"]) if is_mounted else source["path"]
        assert f"Reading {read}" in said.lines()
        assert door.below(root) == planned(told), said


def remedied(told: dict) -> list[dict]:
    """Traces of the hub and of Meta that are no Gemma: the stand-ins are Llamas."""
    later = kinds(told)
    return [trace for trace in later["huggingface"] + later["meta"] if told[trace["id"]]["family"] == "llama"]


def test_the_words_of_the_remedy_do_it(told: dict, sources: door.Sources, tmp_path: Path):
    """With --input_directory the lists whose source comes later leave the traced paths."""
    traces = remedied(told)
    assert len(traces) == 26
    for number, trace in enumerate(traces):
        root = tmp_path / f"{number}/gs"
        (root / "bkt").mkdir(parents=True)
        told_of = told[trace["id"]]
        source = stand_in(sources, told_of)
        args = [word for word in trace["args"] if not word.startswith(("--huggingface", "-h="))]
        if told_of["server"] == "jetstream-maxtext":
            args = trace["args"]
        said = door.run(*args, f"--input_directory={source}", root=root, expect=0)
        assert said.finals() == told_of["wait_for"], said
        beside = {f"{told_of['outputs']['quantized'].rsplit('/', 1)[0]}/{name}"
                  for name in BESIDE.get(told_of["quantize"], [])}
        assert door.below(root) == planned(told_of) | beside, said


def test_a_gemmas_list_over_the_files_of_a_llama_is_refused(told: dict, sources: door.Sources, root: Path):
    args = next(trace["args"] for trace in GOOD if told[trace["id"]]["family"] == "gemma")
    said = door.run(*args, f"--input_directory={sources.llama31}", root=root)
    door.assert_refused(said, 64, "family llama", "gemma-7b")
    assert list(root.rglob("*")) == [root / "bkt"]
