"""Jobs that cannot work end at once, without a second pod, and say why where a user looks."""

import pytest

import containers
from node import HARDENED, HARDENED_POD


@pytest.fixture(name="volumes")
def _volumes(folder):
    """The golden model as /in, and a folder for /out."""
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    return {"/in": (containers.GOLDEN / "input", True), "/out": (folder / "out", False)}


SERVER, MODEL = "--inference_server=jetstream-pytorch", "--model_path=/in"
OUTPUT = "--output_directory=/out/x"
WRONG = {  # name: (arguments, exit code, words of the error)
    "no-output": ([SERVER, MODEL, "--input_directory=/in"], 64, ["output_directory"]),
    "misspelt": ([SERVER, MODEL, "--input_directory=/in", OUTPUT, "--quantise_weights=True"], 64, ["quantize_weights"]),
    "two-faults": (["--inference_server=jetstream", "--quantize_weights=perhaps"], 64,
                   ["jetstream-pytorch", "perhaps"]),
    "no-source": ([SERVER, MODEL, "--input_directory=/in/missing", OUTPUT, "--model_name=llama-3"], 66,
                  ["/in/missing"]),
    "verb": (["convert", "/in", "/out/x", "--to", "jetstream"], 64, ["jetstream-pytorch"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_ends_at_once_and_says_why(node, volumes, folder, name):
    args, code, words = WRONG[name]
    ended = node.run(name, args, volumes, pod_security=HARDENED_POD, security=HARDENED)
    assert (ended.verdict, ended.reason) == ("Failed", "PodFailurePolicy"), ended.log
    assert len(ended.pods) == 1, "it was tried again"
    assert ended.container()["exitCode"] == code
    message = ended.container().get("message", "")
    for word in words:
        assert word in ended.log, f"kubectl logs does not name {word}"
        if name != "verb":  # the verbs are for people at a terminal: they leave no termination message
            assert word in message, f"kubectl describe pod does not name {word}: {message}"
    assert len(message.encode()) <= 4096
    left = [path for path in (folder / "out").rglob("*") if path.is_file() and ".ckpt-state" not in path.parts]
    assert not left, "a refused run left files"


def test_too_little_memory_is_refused_not_killed(node, volumes):
    """A limit below what the program needs at least: an error with a remedy, in place of OOMKilled."""
    ended = node.run("no-memory", ["convert", "/in", "/out/x", "--to", "jetstream-pytorch", "--memory", "64MiB"],
                     volumes, memory="256Mi")
    assert ended.container()["reason"] == "Error" and ended.container()["exitCode"] == 64, ended.log
    assert "memory" in ended.log
