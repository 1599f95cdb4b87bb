"""Jobs that do what they are asked to, with the image from a registry, and folders of the node as source and output."""

import re
import shutil
import subprocess

import pytest

import containers
from node import HARDENED, HARDENED_POD

PYTORCH = ["--inference_server=jetstream-pytorch", "--model_path=/in", "--input_directory=/in/model",
           "--output_directory=/out/made", "--model_name=llama-3"]
MAXTEXT = ["--bucket_name=my-bucket", "--model_path=Llama3.1-8B", "--input_directory=/in/model",
           "--output_directory=/out/made", "--quantize_weights=True", "--quantize_type=int8"]


@pytest.fixture(name="volumes")
def _volumes(folder):
    """The golden model as /in/model, and a folder for /out."""
    (folder / "in").mkdir()
    shutil.copytree(containers.GOLDEN / "input", folder / "in/model")
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    return {"/in": (folder / "in", True), "/out": (folder / "out", False)}


def golden(kind):
    """The checkpoint that the original made of the same model."""
    return (containers.GOLDEN / kind / "model.safetensors").read_bytes()


def outside(folder, *words):
    """The same conversion in a container that Kubernetes did not start: {path: SHA-256}."""
    (folder / "outside").mkdir()
    containers.run(*words, options=["--volume", f"{folder / 'in'}:/in:ro", "--volume", f"{folder / 'outside'}:/out"])
    return containers.without_state(folder / "outside")


def test_plan_by_verb(node, volumes):
    ended = node.run("plan", ["plan", "/in/model", "--to", "jetstream-pytorch"], volumes)
    assert ended.verdict == "Complete", ended.log
    assert len(ended.pods) == 1 and "memory" in ended.log


def test_convert_by_verb(node, volumes, folder):
    ended = node.run("by-verb", ["convert", "/in/model", "/out/made", "--to", "jetstream-pytorch",
                                 "--quantize", "int8_per_channel"], volumes)
    assert ended.verdict == "Complete", ended.log
    assert (folder / "out/made/model.safetensors").read_bytes() == golden("int8_per_channel")


@pytest.mark.parametrize("name, hardened", [("flags", False), ("hardened-flags", True)])
def test_pytorch_by_the_contracts_flags(node, volumes, folder, name, hardened):
    security = {"pod_security": HARDENED_POD, "security": HARDENED} if hardened else {}
    ended = node.run(name, PYTORCH, volumes, memory="512Mi", **security)
    assert ended.verdict == "Complete", ended.log
    made = folder / "out/made/model.safetensors"
    assert made.read_bytes() == golden("bf16")
    assert made.stat().st_uid == (12345 if hardened else 0)
    assert "Inference server is jetstream-pytorch" in ended.log.splitlines()[0]
    assert "/out/made" in ended.log.splitlines()[-2] + ended.log.splitlines()[-1]
    assert ended.container()["exitCode"] == 0
    named = re.findall(r"^/out/(\S+)", ended.container()["message"], re.MULTILINE)
    assert "made/model.safetensors" in named, "the termination message names the output"
    assert all((folder / "out" / name).exists() for name in named), f"not all of these were written: {named}"


def test_maxtext_by_the_contracts_flags(node, volumes, folder):
    shutil.rmtree(folder / "in/model")
    shutil.copytree(containers.MAXTEXT_GOLDEN, folder / "in/model")
    ended = node.run("maxtext", MAXTEXT, volumes, memory="512Mi")
    assert ended.verdict == "Complete", ended.log
    assert "Inference server is jetstream-maxtext" in ended.log
    assert outside(folder, *MAXTEXT) == containers.without_state(folder / "out")
    for below in ("made/bf16/scanned/0/items", "made/bf16/unscanned/checkpoints/0/items", "made/int8"):
        assert any((folder / "out" / below).iterdir())
        held = containers.run("verify", "/out/" + below, options=["--volume", f"{folder / 'out'}:/out:ro"], expect=None)
        assert held.returncode == 0, held.stderr


def test_second_job_with_the_same_arguments_says_that_it_is_done(node, volumes, folder):
    first = node.run("twice-1", PYTORCH, volumes)
    before = (folder / "out/made/model.safetensors").stat()
    second = node.run("twice-2", PYTORCH, volumes)
    assert first.verdict == second.verdict == "Complete", second.log
    after = (folder / "out/made/model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_old_program_name_as_command(node, volumes, folder):
    """A Pod that sets `command` to the name that the image had later."""
    ended = node.run("by-command", PYTORCH, volumes, command=["/usr/bin/checkpoint_converter.sh"])
    assert ended.verdict == "Complete", ended.log
    assert (folder / "out/made/model.safetensors").read_bytes() == golden("bf16")


def test_node_is_real(node):
    """What runs the pods is no stand-in."""
    assert subprocess.run(["ctr", "--version"], capture_output=True, check=True).stdout
    (machine,) = node.get("nodes")["items"]
    assert machine["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert machine["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.")
