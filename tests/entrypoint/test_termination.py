"""The last message for Kubernetes, and a stop in the middle."""

import signal
import time
from pathlib import Path

import pytest

import door
import support

MOST_BYTES = 4096
WITHIN_S = 10


def words(sources: door.Sources, *more: str) -> list[str]:
    return ["-s=jetstream-pytorch", "-m=/models", f"-i={sources.hugging_face}", "-o=gs://bkt/o/", *more]


def test_a_good_end_tells_outputs_bytes_and_seconds(sources: door.Sources, root: Path, tmp_path: Path):
    log = tmp_path / "termination"
    door.run(*words(sources, f"--termination_log={log}"), root=root, expect=0)
    told = log.read_text()
    assert told.startswith("done, exit 0")
    for word in ("gs://bkt/o/model.safetensors", " in, ", " out, ", " s, ", "kB"):
        assert word in told, told


def test_what_is_listed_as_output_is_there(sources: door.Sources, root: Path, tmp_path: Path):
    """A Hugging Face model without tokenizer or parameters has one output, and the message names no other."""
    log = tmp_path / "termination"
    door.run("-s=jetstream-pytorch", "-m=/models", f"-i={sources.llama3}", "-o=gs://bkt/o/",
             f"--termination_log={log}", root=root, expect=0)
    named = {line for line in log.read_text().splitlines() if line.startswith("gs://")}
    assert named == door.below(root)


@pytest.mark.parametrize("more, code, mention", [
    (["--model_name=nobody"], 64, "--model_name nobody"), (["--input_directory=/nowhere"], 66, "/nowhere"),
    (["--output_directory=gs://other/o"], 73, "mkdir -p"),
    (["-m=meta-llama/Llama-3.1-8B", "-h=True", "-n=llama-3", "-i="], 78, "HF_TOKEN"),
    (["--explain", "-q=maybe"], 64, "maybe"), (["--dry_run", "--input_directory=/nowhere"], 66, "/nowhere")])
def test_a_failure_tells_its_error_and_remedy(more: list[str], code: int, mention: str, sources: door.Sources,
                                              root: Path, tmp_path: Path):
    log = tmp_path / "termination"
    log.write_text("left before\n" * 1000)
    said = door.run(*words(sources, *more, f"--termination_log={log}"), root=root, expect=code)
    told = log.read_text()
    assert told.startswith(f"failed, exit {code}\n")
    assert mention in told
    assert "remedy  " in told
    assert "left before" not in told
    assert told.splitlines()[1] in said.stderr


def test_a_long_message_is_cut(sources: door.Sources, root: Path, tmp_path: Path):
    log = tmp_path / "termination"
    long = "ö€𝄞" * 300
    more = [word for number in range(12) for word in (f"--flag{number}{long}=1",)]
    said = door.run(*words(sources, *more, f"--termination_log={log}"), root=root, expect=64)
    data = log.read_bytes()
    assert len(said.stderr.encode()) > MOST_BYTES
    assert MOST_BYTES - 16 <= len(data) <= MOST_BYTES
    assert data.decode().startswith("failed, exit 64\n")  # and no character is cut in two


@pytest.mark.parametrize("place", ["/nowhere/termination", "/proc/version", "/", ""])
def test_a_place_that_cannot_be_written_is_no_failure(place: str, sources: door.Sources, root: Path):
    said = door.run(*words(sources, f"--termination_log={place}"), root=root, expect=0)
    assert said.stderr == ""


@pytest.mark.parametrize("server, number, code", [
    ("jetstream-pytorch", signal.SIGTERM, 143), ("jetstream-maxtext", signal.SIGTERM, 143),
    ("jetstream-maxtext", signal.SIGINT, 130)])
def test_a_stop_in_the_middle(server: str, number: signal.Signals, code: int, tmp_path: Path, root: Path):
    support.small(tmp_path / "in", layers=6, dim=1024, mlp=4096, vocab=8192)
    log = tmp_path / "termination"
    arguments = [f"-s={server}", "-b=bkt", "-m=Llama3.1-8B", f"-i={tmp_path / 'in'}", "-o=gs://bkt/o/",
                 f"--termination_log={log}",
                 "--threads=1", "--bundle_size=1MiB", "--io=buffered", "--memory=128MiB"]
    with door.started(*arguments, root=root) as process:
        door.wait_for(lambda: door.has_bytes(root), "the first weights", process)
        process.send_signal(number)
        told = time.monotonic()
        output, errors = (text.decode() for text in process.communicate(timeout=WITHIN_S))
        print(f"exit {process.returncode} after {time.monotonic() - told:.2f} s")
    assert process.returncode == code, output + errors
    assert not any(final in output for final in door.FINAL)
    assert f"(exit {code})" in errors
    assert log.read_text().startswith(f"failed, exit {code}\n")
    assert support.loadable(root) == []
    assert not list(root.rglob("commit_success.txt"))
    done = door.run(*arguments, root=root, expect=0)
    assert len(done.finals()) == 1
