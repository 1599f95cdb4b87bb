"""The runs of the original script: ours ends with the code that the trace asks for, and leaves what the original left.

Every list runs as it was given: directories in a bucket or mounted, and the hub, Kaggle and Meta's links against their
stubs, into a bucket of the strict stub of Cloud Storage. Stand-ins of the right family take the models' places.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

import door
from services import HUB_TOKEN, KAGGLE_KEY, KAGGLE_USER, Services
from started import started

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
LINK = re.compile(r"https?://[^\s'\"]*")
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
    (folder / "kaggle.json").write_text(json.dumps({"username": KAGGLE_USER, "key": KAGGLE_KEY}))
    (folder / "HUGGINGFACE_TOKEN").write_text(HUB_TOKEN + "\n")
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
    """The hub's files leave what their golden says."""
    door.run(*trace["args"], root=root, env=secrets, expect=0)
    made = next(root.rglob("model.safetensors"))
    assert made.read_bytes() == (door.GOLDEN / "jetstream-pytorch/mixtral/bf16/model.safetensors").read_bytes()


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


def as_sent(words: list[str], services: Services) -> list[str]:
    """The list with a link that is good today in the place of the one that the original was given."""
    return [LINK.sub(lambda _: services.meta_link, word) for word in words]


@pytest.mark.parametrize("kind, count", [("kaggle", 23), ("huggingface", 13), ("meta", 16)])
def test_traces_that_read_a_service_run_to_their_end(kind: str, count: int, told: dict, services: Services, secrets: dict):
    """From the stub of the service into a bucket of the strict stub, with the URIs as given: the traced paths."""
    traces = kinds(told)[kind]
    assert len(traces) == count
    for trace in traces:
        told_of = told[trace["id"]]
        with started("gcs", "--bucket", "bkt") as buckets:
            said = door.run(*as_sent(trace["args"], services), env={**secrets, "STORAGE_EMULATOR_HOST": buckets.url},
                            expect=0)
            assert said.lines()[0] == f"Inference server is {told_of['server']}"
            assert said.finals() == told_of["wait_for"], said
            beside = {f"{told_of['outputs']['quantized'].rsplit('/', 1)[0]}/{name}"
                      for name in BESIDE.get(told_of["quantize"], [])}
            made = door.places({f"bkt/{name}" for name in buckets.names("bkt")})
            wanted = planned(told_of) | beside
            # Files beside the weights are written where the source has them.
            optional = {place for place in wanted if place.endswith(("params.json", "tokenizer.model"))}
            assert wanted - optional <= made <= wanted, said


@pytest.mark.parametrize("trace", NO_SECRET, ids=name_of)
def test_a_missing_secret_ends_the_run_before_the_download(trace: dict, told: dict, root: Path):
    said = door.run(*trace["args"], root=root)
    if told[trace["id"]]["source"]["kind"] == "huggingface":
        door.assert_refused(said, 78, "gated", "HF_TOKEN")
    else:
        door.assert_refused(said, 78, "kaggle.json", "kubectl create secret")


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


def test_a_gemmas_list_over_the_files_of_a_llama_is_refused(told: dict, sources: door.Sources, root: Path):
    args = next(trace["args"] for trace in GOOD if told[trace["id"]]["family"] == "gemma")
    said = door.run(*args, f"--input_directory={sources.llama31}", root=root)
    door.assert_refused(said, 64, "family llama", "gemma-7b")
    assert list(root.rglob("*")) == [root / "bkt"]
