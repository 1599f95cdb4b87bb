"""The image does its work as Kubernetes may start it: any user, nothing writable but the output, little memory."""

import json

import pytest

import containers

HARDENED = ["--read-only", "--read-only-tmpfs=false", "--user", "12345:12345", "--cap-drop", "all",
            "--security-opt", "no-new-privileges", "--memory", "512m", "--network", "none"]


@pytest.fixture(name="out")
def _out():
    """A folder that user 12345 may write."""
    with containers.scratch("out") as folder:
        folder.chmod(0o777)
        yield folder


def mounts(out=None):
    """The golden model as /in, and `out` as /out."""
    given = ["--volume", f"{containers.GOLDEN / 'input'}:/in:ro"]
    return given + (["--volume", f"{out}:/out"] if out else [])


def test_help_names_every_flag_of_the_contract(built):
    assert built["Id"]
    for flag in ("--help", "-x"):
        said = containers.run(flag)
        for name in ("bucket_name", "inference_server", "model_path", "model_name", "huggingface", "quantize_type",
                     "quantize_weights", "version", "input_directory", "output_directory", "meta_url", "help"):
            assert f"--{name}" in said.stdout, f"{flag} does not name --{name}"
        assert not said.stderr


def test_plan_needs_nothing(built):
    assert built["Id"]
    said = containers.run("plan", "/in", "--to", "jetstream-pytorch", "--json", options=[*HARDENED, *mounts()])
    assert json.loads(said.stdout)


@pytest.mark.parametrize("kind", ["bf16", "int8_per_channel"])
def test_converts_to_the_originals_bytes_in_a_hardened_container(built, out, kind):
    assert built["Id"]
    quantize = [] if kind == "bf16" else ["--quantize", kind]
    containers.run("convert", "/in", "/out/made", "--to", "jetstream-pytorch", *quantize,
                   options=[*HARDENED, *mounts(out)])
    made, golden = out / "made/model.safetensors", containers.GOLDEN / kind / "model.safetensors"
    assert made.read_bytes() == golden.read_bytes()
    assert made.stat().st_uid == 12345


def test_takes_its_budget_from_the_containers_limit(built, out):
    """The default budget is at most half of what the container has, so that no run is killed for memory."""
    assert built["Id"]
    small, large = (json.loads(containers.run("plan", "/in", "--to", "jetstream-pytorch", "--json", options=[
        *mounts(out), "--memory", limit]).stdout) for limit in ("300m", "4g"))
    budgets = [plan["memory"]["budget_bytes"] for plan in (small, large)]
    assert budgets[0] <= 150 * 2**20 < budgets[1], budgets


def test_an_error_is_an_exit_code_and_one_line(built):
    assert built["Id"]
    missing = containers.run("convert", "/nothing", "/out/x", "--to", "jetstream-pytorch", options=HARDENED, expect=66)
    assert "/nothing" in missing.stderr and "remedy" in missing.stderr


def test_wrong_flags_end_at_once(built):
    assert built["Id"]
    refused = containers.run("--inference_server=jetstream-pytorch", "--model_path=/in", options=HARDENED, expect=64)
    assert "output_directory" in refused.stderr
    refused = containers.run("--bucket=$BUCKET_NAME", "--quantize_wieghts=True", options=HARDENED, expect=64)
    assert "quantize_weights" in refused.stderr, "the nearest known flag is named"
