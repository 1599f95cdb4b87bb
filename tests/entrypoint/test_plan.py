"""Warnings and refusals instead of silence, --outputs, --dry_run: what a run says before it does anything."""

import re
from pathlib import Path

import pytest

import door
import support

URL = "--meta_url=https://x.invalid/y?a=b"
META = ["-b=bkt", "-m=Llama3.1-8B", "-n=llama-3.1", "-o=gs://bkt/o", URL]
HUB = ["-b=bkt", "-m=meta-llama/Llama-3.1-8B", "-n=llama-3.1", "-o=gs://bkt/o", "-h=True"]
GEMMA = ["-b=bkt", "-m=google/gemma/maxtext/7b-it/2"]
PYTORCH = ["-s=jetstream-pytorch", "-m=/models", "-i=gs://bkt/in", "-o=gs://bkt/o"]
PYTORCH_HUB = ["-s=jetstream-pytorch", "-m=meta-llama/Llama-3.1-8B", "-n=llama-3.1", "-o=gs://bkt/o", "-h=True"]

# Rows of the contract's tables that warn: the words, and what the warning must name.
WARNS = {
    "name-against-path": ([*META, "-n=llama-3"], ["Llama3.1-8B", "llama-3.1", "llama-3", "the name counts"]),
    "type-without-weights": ([*META, "-t=int8"], ["--quantize_type int8 has no effect"]),
    "type-without-weights-pytorch": ([*PYTORCH, "-t=int8_blockwise"], ["--quantize_type int8_blockwise has no effect"]),
    "bucket-with-scheme": (["-b=gs://bkt/", *GEMMA[1:]], ["gs://bkt/", "read as bkt"]),
    "bucket-with-slash": (["-b=bkt/", *GEMMA[1:]], ["bkt/", "read as bkt"]),
    "gemma-with-output": ([*GEMMA, "-o=gs://bkt/elsewhere"], ["--output_directory has no effect", "gs://bkt/final"]),
    "gemma-with-another-name": ([*GEMMA, "-n=llama-3"], ["--model_name llama-3 has no effect"]),
    "huggingface-with-a-handle": ([*GEMMA, "-h=True"], ["--huggingface has no effect", "Kaggle handle"]),
    "huggingface-with-a-directory": ([*PYTORCH, "-h=True"], ["--huggingface has no effect"]),
    "huggingface-with-a-meta-id": ([*META, "-h=True"], ["Llama3.1-8B is no Hugging Face repository"]),
    "huggingface-with-a-local-path": (["-b=bkt", "-m=/mnt/Llama-3.1-8B", "-n=llama-3.1", "-o=gs://bkt/o", "-h=True"],
                                      ["--huggingface has no effect"]),
    "url-with-a-repository": ([*HUB, URL], ["Meta's URL has no effect"]),
    "gemma-repository-without-huggingface": (["-b=bkt", "-m=google/gemma-7b"], ["taken for a Hugging Face repository"]),
    "pytorch-gemma-without-a-name": (["-s=jetstream-pytorch", "-m=google/gemma-7b-it-pytorch", "-h=True",
                                      "-o=gs://bkt/o"],
                                     ["taken for a Llama"]),
    "repeated": ([*GEMMA, "-b=other"], ["--bucket_name is given more than once"]),
    "quoted": (['--bucket_name="bkt"', *GEMMA[1:]], ["--bucket_name: the quotes"]),
    "one-dash": (["-bucket_name=bkt", *GEMMA[1:]], ["-bucket_name is read as --bucket_name"]),
    "leftover": (["extra", *GEMMA, "--", "more"], ["extra, more"]),
}
# What is as it should be, and must not warn.
QUIET = {
    "meta": META, "hub": HUB, "gemma": GEMMA, "pytorch": PYTORCH, "pytorch-hub": PYTORCH_HUB,
    "repeated-equal": [*GEMMA, "--bucket_name=bkt"],
    "gemma-with-its-name": [*GEMMA, "-n=gemma"], "trailing-slash": [*META[:3], "-o=gs://bkt/o//", URL],
    "weights-and-type": [*META, "-q=1", "-t=fp8"], "name-of-the-path": [*META, "-n=llama-3.1"],
    "type-empty": [*META, "-t="], "huggingface-false": [*META, "-h=False"],
    "pytorch-mount": [*PYTORCH, "-h=False", "-q=False"],
    "llama-2-path": ["-b=bkt", "-m=Llama-2-7b", "-n=llama-2", *META[3:]],
    "dashes": ["--bucket-name=bkt", "--model-path=google/gemma/maxtext/7b-it/2"],
}


@pytest.mark.parametrize("case", WARNS)
def test_what_is_read_otherwise_than_meant_warns(case: str):
    words, mentions = WARNS[case]
    warnings = door.explain(*words).get("warnings", [])
    assert any(all(mention in warning for mention in mentions) for warning in warnings), warnings


@pytest.mark.parametrize("case", WARNS)
def test_a_warning_is_in_the_log_too(case: str, root: Path):
    words, mentions = WARNS[case]
    said = door.run(*words, root=root)
    assert any(all(mention in line for mention in mentions) for line in said.warnings().splitlines()), said


@pytest.mark.parametrize("case", QUIET)
def test_a_sound_list_warns_of_nothing(case: str):
    assert "warnings" not in door.explain(*QUIET[case])


def test_a_missing_name_is_taken_from_the_path_and_told(root: Path):
    words = [word for word in META if not word.startswith("-n=")]
    assert door.explain(*words)["model"] == "llama3.1-8b"
    assert "Model name llama-3.1 is taken from the model path" in door.run(*words, root=root, expect=78).lines()


def test_a_handle_without_a_version_is_told(root: Path):
    said = door.run("-b=bkt", "-m=google/gemma/maxtext/7b-it", root=root, expect=78)
    assert any("the latest is taken" in line for line in said.lines())


# The table of conditions: what must be refused before a byte is fetched, and the words that the refusal must hold.
REFUSES = {
    "no-bucket": (META[1:], ["BUCKET_NAME is empty, please provide a GSBucket"]),
    "no-model-path": (["-b=bkt"], ["MODEL_PATH is empty, please provide the model path"]),
    "unknown-server": ([*GEMMA, "-s=vllm"], ["vllm", "jetstream-maxtext", "jetstream-pytorch"]),
    "no-family": (["-b=bkt", "-m=mistralai/Mistral-7B-v0.1", "-o=gs://bkt/o"], ["mistralai/Mistral-7B-v0.1", "family"]),
    "unknown-name": ([*META, "-n=llama-4"], ["--model_name llama-4 is unknown", "llama-3.1"]),
    "no-size": ([*META, "-m=Llama3.2-1B"], ["Llama3.2-1B tells no size", "405b"]),
    "no-output": ([word for word in META if not word.startswith("-o=")], ["--output_directory is missing"]),
    "no-meta-url": (META[:-1], ["META_URL is empty, please provide the Meta url by visiting", "--input_directory"]),
    "no-type": ([*META, "-q=1"], ["int8", "int8w", "int4w", "intmp", "fp8"]),
    "wrong-type": ([*META, "-q=1", "-t=int4_blockwise"], ["int4_blockwise", "int8", "int8w", "int4w", "intmp", "fp8"]),
    "wrong-type-for-gemma": ([*GEMMA, "-q=1", "-t=int9"], ["int9", "int8w"]),
    "wrong-type-pytorch": ([*PYTORCH, "-q=1", "-t=int8"],
                           ["int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"]),
    "no-output-pytorch": (PYTORCH[:-1], ["--output_directory is missing"]),
    "no-input-pytorch": ([*PYTORCH[:2], PYTORCH[3]], ["--input_directory is missing"]),
    "unknown-name-pytorch": ([*PYTORCH_HUB, "-n=nobody"], ["--model_name nobody is unknown"]),
    "placeholder": (["-b=BUCKET_NAME", *GEMMA[1:]], ["BUCKET_NAME", "not replaced", "$(NAME)"]),
    "placeholder-dollar": (["-b=$BUCKET_NAME", *GEMMA[1:]], ["$BUCKET_NAME", "not replaced", "$(NAME)"]),
    "placeholder-braces": (["-b=${BUCKET}", *GEMMA[1:]], ["${BUCKET}", "not replaced"]),
    "placeholder-in-a-place": ([*META, "-o=gs://BUCKET_NAME/o"], ["--output_directory", "BUCKET_NAME", "not replaced"]),
    "placeholder-behind-a-bucket": ([*META, "-o=gs://bkt/$FOLDER/x"], ["--output_directory", "$FOLDER"]),
    "placeholder-url": ([*META[:-1], "--meta_url=META_URL"], ["--meta_url holds no URL", "placeholder"]),
    "illegal-bucket": (["-b=B kt", *GEMMA[1:]], ["B kt is no legal name"]),
    "bucket-of-dots": (["-b=..", *GEMMA[1:]], [".. is no legal name"]),
    "place-that-is-none": ([*META, "-o=s3://bkt/o"], ["s3://bkt/o is neither gs:// nor a local directory"]),
    "memory": ([*META, "--memory=lots"], ["lots"]),
    "threads": ([*META, "--threads=0"], ["--threads 0"]),
    "outputs": ([*META, "--outputs=scaned"], ["--outputs scaned is unknown", "scanned"]),
    "outputs-quantized": ([*META, "--outputs=quantized"], ["--outputs names quantized"]),
    "outputs-pytorch": ([*PYTORCH, "--outputs=scanned"], ["--outputs is for jetstream-maxtext"]),
    "dtype": ([*META, "--dtype=int3"], ["int3"]),
    "mesh": ([*META, "--mesh=wrong"], ["wrong"]),
    "log-format": ([*META, "--log_format=xml"], ["--log_format xml"]),
}


@pytest.mark.parametrize("case", REFUSES)
def test_a_condition_of_the_table_is_refused(case: str, root: Path):
    words, mentions = REFUSES[case]
    door.assert_refused(door.run(*words, root=root), 64, *mentions)
    assert list(root.rglob("*")) == [root / "bkt"]


# --- --outputs

@pytest.mark.parametrize("names, places", [
    ("scanned", ["bf16/scanned/0"]), ("unscanned", ["bf16/unscanned/checkpoints/0"]), ("quantized", ["int8"]),
    ("unscanned,quantized", ["bf16/unscanned/checkpoints/0", "int8"]),
    ("scanned,unscanned,quantized", ["bf16/scanned/0", "bf16/unscanned/checkpoints/0", "int8"])])
def test_outputs_narrows_what_is_written(names: str, places: list[str], sources: door.Sources, root: Path):
    words = ["-b=bkt", "-m=Llama3.1-8B", f"-i={sources.llama31}", "-o=gs://bkt/o", "-q=1", "-t=int8",
             f"--outputs={names}"]
    told = door.explain(*words)
    assert set(told["outputs"]) == set(names.split(","))
    said = door.run(*words, root=root, expect=0)
    assert said.finals() == told["wait_for"]
    assert {str(path.parent.relative_to(root / "bkt/o")) for path in root.rglob("_CHECKPOINT_METADATA")} == set(places)
    assert door.run(*words, root=root, expect=0).finals() == said.finals()


# --- --dry_run

DRY = {"maxtext": ["-b=bkt", "-m=Llama3.1-8B", "-o=gs://bkt/o", "-q=1", "-t=int8"],
       "pytorch": ["-s=jetstream-pytorch", "-m=/models", "-o=gs://bkt/o", "-q=1"]}


@pytest.mark.parametrize("server", DRY)
def test_a_dry_run_prints_the_plan_and_writes_nothing(server: str, sources: door.Sources, root: Path):
    words = [*DRY[server], f"-i={sources.llama31}"]
    said = door.run(*words, "--dry_run", root=root, expect=0)
    assert list(root.rglob("*")) == [root / "bkt"]
    for word in ("source ", "family ", "read ", "write ", "memory ", str(sources.llama31), "llama"):
        assert word in said.stdout
    assert not any(final in said.stdout for final in door.FINAL)
    done = door.run(*words, root=root, expect=0)
    before = door.state(root)
    again = door.run(*words, "--dry_run=True", root=root, expect=0)
    assert door.state(root) == before
    assert done.finals()
    assert again.exit_code == 0


@pytest.mark.parametrize("server", DRY)
def test_a_dry_run_ends_with_the_error_of_the_run(server: str, sources: door.Sources, root: Path, tmp_path: Path):
    (root / "bkt/o").mkdir()
    full = root / "bkt/full" / ("bf16/scanned/0" if server == "maxtext" else "")
    full.mkdir(parents=True)
    (full / "notes.txt").write_text("x")
    support.small(tmp_path / "damaged")
    path = tmp_path / "damaged/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    cases = {64: ["-o=here"], 65: [f"-i={tmp_path / 'damaged'}"], 66: ["-i=/nowhere"],
             78: ["-i=", "-m=meta-llama/Llama-3.1-8B", "-h=1"],
             73: ["-o=gs://bkt/full"]}
    for code, more in cases.items():
        dry, real = (door.run(*DRY[server], f"-i={sources.llama31}", *more, *flags, root=root)
                     for flags in (["--dry_run"], []))
        assert dry.exit_code == real.exit_code == code, f"{dry}\n{real}"
        assert dry.stderr.split("ckpt: ")[1] == real.stderr.split("ckpt: ")[1]
    notes = str((full / "notes.txt").relative_to(root))
    assert {name for name in support.contents(root) if "/.ckpt-state/" not in name} == {notes}
    assert not (root / "bkt/full/.ckpt-state").exists(), "an output that cannot be made is left as it is"


def test_a_dry_run_says_where_a_full_folder_stands(sources: door.Sources, root: Path):
    """What lies at the output is found before, not after the conversion."""
    support.convert(sources.llama3, root / "bkt/o")
    before = door.state(root)
    said = door.run(*DRY["pytorch"], f"-i={sources.hugging_face}", "--dry_run", root=root)
    door.assert_refused(said, 73, "--overwrite")
    assert door.state(root) == before


# --- Shards

@pytest.mark.parametrize("server", DRY)
def test_a_dry_run_shows_how_the_work_falls_to_shards(server: str, sources: door.Sources, root: Path):
    """Also where no pod of the Job runs yet, so that there is no index."""
    words = [*DRY[server], f"-i={sources.llama31}", "--dry_run"]
    assert "shards    4: each " in door.run(*words, "--shards=4", root=root, expect=0).stdout
    assert "shard     1 of 4: " in door.run(*words, "--shard=1/4", root=root, expect=0).stdout
    assert not re.search("^shard", door.run(*words, root=root, expect=0).stdout, re.MULTILINE)


def test_a_shard_that_cannot_be_is_refused_with_all_else(sources: door.Sources, root: Path):
    words = [*DRY["pytorch"], f"-i={sources.llama31}"]
    door.assert_refused(door.run(*words, "--shards=4", "--memory=lots", root=root), 64, "JOB_COMPLETION_INDEX", "--memory")
    door.assert_refused(door.run(*words, "--shards=4", root=root, env={"JOB_COMPLETION_INDEX": "4"}), 64, "no part 4 of 4")
    door.assert_refused(door.run(*words, "--shard=auto", root=root), 64, "SLURM_ARRAY_TASK_ID")


def test_a_pod_beside_others_that_does_all_says_so_once(sources: door.Sources, root: Path):
    words = [*DRY["pytorch"], f"-i={sources.llama31}"]
    alone = door.run(*words, "--dry_run", root=root, expect=0)
    beside = door.run(*words, "--dry_run", root=root, env={"JOB_COMPLETION_INDEX": "1"}, expect=0)
    told = [line for line in (beside.stdout + beside.stderr).splitlines() if "--shards N" in line]
    assert len(told) == 1 and "index 1" in told[0], told
    assert "--shards N" not in alone.stdout + alone.stderr
