"""The argument lists for a Llama from Hugging Face convert a small model end to end, on both servers, in every type.

--input_directory stands for the repository. The log's lines are those that users wait for, at the moment they are true.
"""

import json
import re
import signal
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import door
import forward
import maxtext_model
import maxtext_reference
import real_orbax
import support
from compare import differences
from llama import load_jetstream, load_source
from test_maxtext_goldens import RULES

MAXTEXT_TYPES = ("int8", "int8w", "int4w", "intmp", "fp8")
PYTORCH_TYPES = ("int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
UNSCANNED = "Completed unscanning checkpoint to gs://bkt/o/bf16/unscanned/checkpoints/0/items"
UPLOADED = "Completed uploading converted checkpoint from local path /pt-ckpt/ to GSBucket gs://bkt/o/"
PROMPT = "The capital of France is"


def maxtext_words(source: Path, kind: str | None) -> list[str]:
    quantize = ["--quantize_weights=True", f"--quantize_type={kind}"] if kind else []
    return ["--bucket_name=bkt", "--inference_server=jetstream-maxtext", "--model_name=llama-3.1",
            "--model_path=meta-llama/Llama-3.1-8B", "--huggingface=True", "--output_directory=gs://bkt/o",
            f"--input_directory={source}", *quantize]


def pytorch_words(source: Path, kind: str | None) -> list[str]:
    quantize = ["-q=True", f"-t={kind}"] if kind else ["-q=False"]
    return ["-s=jetstream-pytorch", "-m=/models", f"-i={source}", "-o=gs://bkt/o/", "-n=llama-3", *quantize]


@pytest.fixture(scope="module")
def made(sources: door.Sources, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """{(server, type): (what was said, the output's folder)}; type None is bf16."""
    found = {}
    for words, source, server, kinds in ((maxtext_words, sources.llama31, "maxtext", MAXTEXT_TYPES),
                                         (pytorch_words, sources.hugging_face, "pytorch", PYTORCH_TYPES)):
        for kind in (None, *kinds):
            root = tmp_path_factory.mktemp(f"{server}-{kind}")
            (root / "bkt").mkdir()
            found[server, kind] = door.run(*words(source, kind), root=root, expect=0), root / "bkt/o"
    return found


@pytest.mark.parametrize("kind", [None, *MAXTEXT_TYPES])
def test_a_maxtext_list_writes_what_ckpt_convert_writes(kind: str | None, made: dict, sources: door.Sources,
                                                        tmp_path: Path):
    said, folder = made["maxtext", kind]
    outputs = ("scanned", "unscanned", kind) if kind else ("scanned", "unscanned")
    support.convert_maxtext(sources.llama31, tmp_path / "out", outputs, model="llama3.1-8b")
    assert support.outputs_of(folder) == support.outputs_of(tmp_path / "out")
    quantized = [f"Completed quantizing model llama3.1-8b with {kind} to gs://bkt/o/{kind}"] if kind else []
    assert said.finals() == [UNSCANNED, *quantized]


@pytest.mark.parametrize("output, kind, original", [
    ("scanned", None, "bf16/scanned"), ("unscanned", None, "bf16/unscanned"), ("int8", "int8", "int8")])
def test_real_orbax_finds_the_originals_leaves(output: str, kind: str | None, original: str, made: dict):
    ours, golden = support.items(made["maxtext", kind][1], output), door.GOLDEN / "maxtext/llama3.1" / original
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", ours, golden, *RULES[:-1])
    assert said.strip().endswith("leaves equal, 0 differ"), said


@pytest.mark.parametrize("kind", [None, *PYTORCH_TYPES])
def test_a_pytorch_list_writes_the_originals_bytes(kind: str | None, made: dict, sources: door.Sources):
    said, folder = made["pytorch", kind]
    golden = door.GOLDEN / "jetstream-pytorch/llama-3-hf" / (kind or "bf16") / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == golden.read_bytes()
    assert (folder / "tokenizer.model").read_bytes() == sources.tokenizer
    assert not (folder / "params.json").exists()
    assert said.finals() == [UPLOADED]


@pytest.mark.parametrize("family, kind", [
    *(("gemma", kind) for kind in (None, *PYTORCH_TYPES)), *(("mixtral", kind) for kind in (None, *PYTORCH_TYPES[:2])),
    *(("llama-2", kind) for kind in (None, *PYTORCH_TYPES))])
def test_every_family_of_the_pytorch_server_gives_its_golden(family: str, kind: str | None, root: Path):
    """From the files as they are published: Gemma's .ckpt, Mixtral's .pt pieces, Meta's shards."""
    golden = door.GOLDEN / "jetstream-pytorch" / ("llama-2-meta" if family == "llama-2" else family)
    quantize = ["-q=True", f"-t={kind}"] if kind else ["-q=False"]
    said = door.run("-s=jetstream-pytorch", "-m=/models", f"-i={golden / 'input'}", "-o=gs://bkt/o/", f"-n={family}", *quantize,
                    root=root, expect=0)
    assert said.finals() == [UPLOADED]
    for name in ("model.safetensors", "params.json"):
        ours, original = root / "bkt/o" / name, golden / (kind or "bf16") / name
        assert ours.read_bytes() == original.read_bytes() if name.endswith("safetensors") else (
            json.loads(ours.read_text()) == json.loads(original.read_text()))


def test_metas_form_keeps_its_params(sources: door.Sources, root: Path):
    door.run("-s=jetstream-pytorch", "-m=/models", f"-i={sources.meta}", "-o=gs://bkt/o", "-n=llama-2", root=root,
             expect=0)
    golden = door.GOLDEN / "jetstream-pytorch/llama-2-meta/bf16"
    assert differences(root / "bkt/o/model.safetensors", golden / "model.safetensors") == []
    assert json.loads((root / "bkt/o/params.json").read_text()) == json.loads((golden / "params.json").read_text())


def test_local_places_stand_for_buckets(sources: door.Sources, made: dict, tmp_path: Path):
    """No bucket anywhere but in the flag that MaxText must have."""
    words = [word.replace("gs://bkt/o", str(tmp_path / "mnt//out/")) for word in maxtext_words(sources.llama31, "int8")]
    said = door.run(*words, expect=0)
    assert support.outputs_of(tmp_path / "mnt/out") == support.outputs_of(made["maxtext", "int8"][1])
    place = f"{tmp_path}/mnt/out/bf16/unscanned/checkpoints/0/items"
    assert said.finals()[0] == f"Completed unscanning checkpoint to {place}"


# --- the log

def assert_contract_log(said: door.Said, server: str, finals: list[str]) -> None:
    lines = said.lines()
    assert lines[0] == f"Inference server is {server}"
    assert said.stderr == "", "a clean run logs no error line"
    for final in finals:
        at = [number for number, line in enumerate(lines) if line == final]
        assert len(at) == 1, f"{final!r} stands in lines {at}"
        assert lines[at[0] + 1].startswith("Load with: "), lines[at[0] + 1]


def test_the_log_of_every_list(made: dict):
    for (server, kind), (said, _) in made.items():
        quantized = f"Completed quantizing model llama3.1-8b with {kind} to gs://bkt/o/{kind}"
        finals = [UPLOADED] if server == "pytorch" else [UNSCANNED, quantized] if kind else [UNSCANNED]
        assert_contract_log(said, f"jetstream-{server}", finals)


def test_the_lines_that_people_grep_for(made: dict):
    lines = made["maxtext", "int8"][0].lines()
    for line in ("Bucket name=bkt", "Model path=meta-llama/Llama-3.1-8B", "Model name=llama-3.1",
                 "Output ckpt dir=gs://bkt/o",
                 "Huggingface=True", "Beginning conversion of scanned checkpoint to gs://bkt/o/bf16/scanned/0/items",
                 "Completed conversion of scanned checkpoint to gs://bkt/o/bf16/scanned/0/items",
                 "Model size for meta-llama/Llama-3.1-8B is llama3.1-8b", "Quantize weights: True"):
        assert lines.count(line) == 1, line
    assert any(line.startswith("Version=") for line in lines)
    assert any(line.startswith("Beginning quantizing model") for line in lines)


def test_what_loads_an_output_names_the_servers_flags(made: dict):
    lines = made["maxtext", "int8"][0].lines()
    bf16 = lines[lines.index(UNSCANNED) + 1]
    assert "load_parameters_path=gs://bkt/o/bf16/unscanned/checkpoints/0/items" in bf16
    assert "scan_layers=false" in bf16
    int8 = lines[lines.index("Completed quantizing model llama3.1-8b with int8 to gs://bkt/o/int8") + 1]
    for word in ("load_parameters_path=gs://bkt/o/int8 ", "quantization=int8", "checkpoint_is_quantized=true",
                 "MaxText"):
        assert word in int8
    lines = made["pytorch", "int8_blockwise"][0].lines()
    assert "--checkpoint_path=gs://bkt/o/model.safetensors" in lines[lines.index(UPLOADED) + 1]


def test_the_time_is_utc(made: dict):
    lines = made["pytorch", None][0].stdout.splitlines()
    stamps = [datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S") for line in lines]
    assert stamps == sorted(stamps)
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    assert now - timedelta(minutes=20) < stamps[0] <= now + timedelta(seconds=2)


def test_the_time_is_utc_in_every_time_zone():
    said = door.run("-b=bkt", "-m=google/gemma/maxtext/7b-it/2", env={"TZ": "America/Los_Angeles"}, expect=78)
    stamp = datetime.strptime(said.stdout[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - stamp) < timedelta(minutes=2)


def stop_at_finals(process, look) -> list[str]:
    """Reads a run's log; at each line that users wait for, the run is held still and `look(line)` is called."""
    seen = []
    for line in iter(process.stdout.readline, b""):
        text = line.decode().rstrip("\n")
        text = text[door.STAMP.match(text).end():]
        if text.startswith(door.FINAL):
            process.send_signal(signal.SIGSTOP)
            look(text)
            seen.append(text)
            process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=30) == 0, process.stderr.read()
    return seen


def test_a_final_line_comes_only_after_its_output(sources: door.Sources, root: Path):
    def look(line: str) -> None:
        assert (root / "bkt/o/.ckpt-state/report.json").exists()
        for place in ("bf16/scanned/0", "bf16/unscanned/checkpoints/0", "int8"):
            assert (root / "bkt/o" / place / "commit_success.txt").exists(), f"{line}: {place} is not committed"
            items = root / "bkt/o" / place / ("items" if place.endswith("/0") else "")
            for name in ("_METADATA", "manifest.ocdbt"):
                assert (items / name).exists(), f"{line}: {place} has no {name}"

    with door.started(*maxtext_words(sources.llama31, "int8"), root=root) as process:
        assert len(stop_at_finals(process, look)) == 2


def test_a_final_line_of_pytorch_comes_only_after_its_output(sources: door.Sources, made: dict, root: Path):
    def look(line: str) -> None:
        assert support.outputs_of(root / "bkt/o") == support.outputs_of(made["pytorch", None][1]), line

    with door.started(*pytorch_words(sources.hugging_face, None), root=root) as process:
        assert len(stop_at_finals(process, look)) == 1


def test_a_killed_run_has_promised_nothing(tmp_path: Path, root: Path):
    """Whenever it is killed: no final line, or the output is there."""
    support.small(tmp_path / "in", layers=2, dim=1024, mlp=2048, vocab=2048)
    words = ["-s=jetstream-pytorch", "-m=/models", f"-i={tmp_path / 'in'}", "-o=gs://bkt/o/", "--threads=1",
             "--bundle_size=1MiB"]
    for delay_s in (0.0, 0.03, 0.06, 0.12):
        with door.started(*words, root=root) as process:
            time.sleep(delay_s)
            process.kill()
            said = process.communicate()[0].decode()
        loadable = support.loadable(root)
        assert (UPLOADED in said) <= bool(loadable), said
        if loadable:
            break
    door.run(*words, root=root, expect=0)


# --- JSON logs

@pytest.mark.parametrize("how", ["flag", "variable"])
def test_json_logs(how: str, sources: door.Sources, made: dict, root: Path):
    words, env = maxtext_words(sources.llama31, "int8"), {}
    if how == "flag":
        words = [*words, "--log_format=json"]
    else:
        env = {"CKPT_LOG_FORMAT": "json"}
    said = door.run(*words, root=root, env=env, expect=0)
    objects = said.objects()
    for entry in objects:
        assert list(entry)[:3] == ["severity", "time", "message"]
        assert entry["severity"] in ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    messages = [entry["message"] for entry in objects]
    plain = [line for line in made["maxtext", "int8"][0].lines() if not line.startswith(("Converting: ", "warning: "))]
    assert [message for message in messages if message in plain] == plain
    assert {entry["severity"] for entry in objects} >= {"INFO", "WARNING"}
    progress = [entry for entry in objects if entry.get("stage") == "convert"]
    assert progress
    for entry in progress:
        assert 0 <= entry["bytes_done"] <= entry["bytes_total"]
        assert entry["rate"] >= 0
        assert entry["eta_s"] >= 0
    assert progress[-1]["bytes_done"] == progress[-1]["bytes_total"]


def test_progress_is_told_at_each_tenth(tmp_path: Path, root: Path):
    support.small(tmp_path / "in", layers=24, dim=1024, mlp=4096, vocab=4096)
    said = door.run("-s=jetstream-pytorch", "-m=/models", f"-i={tmp_path / 'in'}", "-o=gs://bkt/o",
                    "--log_format=json", "--threads=1",
                    "--bundle_size=1MiB", "--io=buffered", root=root, expect=0)
    progress = [entry for entry in said.objects() if entry.get("stage") == "convert"]
    done = [entry["bytes_done"] for entry in progress]
    assert done == sorted(done)
    assert len({entry["bytes_total"] for entry in progress}) == 1
    assert 3 <= len(progress) <= 12, done  # a quick disk may take some tenths at once


def test_a_json_error_is_one_object_on_standard_error(root: Path):
    said = door.run("-b=bkt", "-m=google/gemma/maxtext/7b-it/2", "--log_format=json", root=root, expect=78)
    error = json.loads(said.stderr)
    assert said.stderr.count("\n") == 1
    assert error["severity"] == "ERROR"
    assert "kaggle.json" in error["message"]
    assert {entry["severity"] for entry in said.objects()} == {"INFO"}


def test_a_json_error_names_its_tensor(tmp_path: Path, root: Path):
    broken(tmp_path / "in")
    said = door.run("-s=jetstream-pytorch", "-m=/models", f"-i={tmp_path / 'in'}", "-o=gs://bkt/o", "-q=1",
                    "--log-format=json", root=root,
                    expect=65)
    assert "w1" in json.loads(said.stderr)["tensor"] or "gate_proj" in json.loads(said.stderr)["tensor"]


def test_a_dry_run_with_json_logs_prints_objects_only(sources: door.Sources, root: Path):
    said = door.run(*maxtext_words(sources.llama31, "int8"), "--log_format=json", "--dry_run", root=root, expect=0)
    *log, plan = said.objects()
    assert all("message" in entry for entry in log)
    assert plan["target"] == "maxtext"
    assert [output["name"] for output in plan["outputs"]] == ["scanned", "unscanned", "int8"]


def broken(folder: Path) -> None:
    """A model whose headers are sound; one weight is no number, which only quantizing it finds."""
    support.small(folder, adversarial=False)
    path = folder / "model.safetensors"
    tensors = support.read_tensors(path)
    name = "model.layers.1.mlp.gate_proj.weight"
    dtype, shape, data = tensors[name]
    tensors[name] = dtype, shape, data[:1000] + b"\xc0\x7f" + data[1002:]
    support.write_tensors(path, tensors)


# --- a real model

class Real:
    """SmolLM2's GGUF, and what it says to a prompt."""

    def __init__(self, gguf: Path):
        source = load_source(gguf)
        self.config = source.config
        self.tokenizer = forward.tokenizer_of(gguf)
        self.expected = forward.Expected(source, source.rounded_to_bf16(), self.tokenizer.encode(PROMPT), 4)


@pytest.fixture(scope="module")
def real(smollm2: Path) -> Real:
    return Real(smollm2)


def test_a_real_model_for_pytorch_says_the_same(real: Real, smollm2: Path, root: Path):
    door.run("-s=jetstream-pytorch", "-m=HuggingFaceTB/SmolLM2-135M-Instruct", "-n=llama-2", f"-i={smollm2}",
             "-o=gs://bkt/o/",
             root=root, expect=0)
    distance = real.expected.distance(load_jetstream(root / "bkt/o", real.config))
    assert distance["rounded"]["kl_max"] <= 1e-4
    assert distance["top1_agreement"] == 1


def test_a_real_model_for_maxtext_says_the_same(real: Real, smollm2: Path, root: Path):
    said = door.run("-b=bkt", "-m=HuggingFaceTB/SmolLM2-135M-Instruct", "-n=llama-2", f"-i={smollm2}",
                    "-o=gs://bkt/o/", "-q=True", "-t=int8",
                    "--outputs=unscanned,quantized", root=root, expect=0)
    assert len(said.finals()) == 2
    assert not (root / "bkt/o/bf16/scanned").exists()
    saves = {name: root / f"{name}.npz" for name in ("unscanned", "int8")}
    jobs = [real_orbax.job(support.items(root / "bkt/o", name), "whole", save=str(save))
            for name, save in saves.items()]
    assert [result["error"] for result in real_orbax.restore(real_orbax.NEWEST, jobs) if "error" in result] == []
    for name, bound in (("unscanned", 1e-4), ("int8", 5e-2)):
        model = maxtext_model.load(maxtext_reference.read_leaves(saves[name]), real.config)
        assert real.expected.distance(model)["rounded"]["kl_max"] <= bound, name
