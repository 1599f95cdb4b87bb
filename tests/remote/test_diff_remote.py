"""`ckpt diff` over the network: a repository of the hub against what was made of it in a bucket; and a stop while it waits."""

import json
import signal
import subprocess
import time

import pytest

import support
from started import Stub

WITHIN_S = 5


@pytest.mark.parametrize("target, place", [(("jetstream-pytorch",), ""), (("maxtext", "--outputs", "scanned"), "/" + support.MAXTEXT_PATHS["scanned"])])
def test_a_repository_is_compared_with_what_a_bucket_holds(target: tuple, place: str, below: str, hub: Stub, buckets: Stub):
    support.run("convert", "org/llama3", f"gs://bkt/{below}", "--to", *target, expect=0)
    ran = support.run("diff", "hf://org/llama3", f"gs://bkt/{below}{place}", "--json", "--memory", "128MiB")
    said = json.loads(ran.stdout)
    assert said["counts"]["compared"] == 12 and said["a"]["source"].startswith("hf://org/llama3")
    # Heads of 128: MaxText's scaled query comes back rounded, and nothing else.
    differing = ["layer.0.attention.q"] if place else []
    assert [entry["role"] for entry in said["roles"]] == differing and ran.exit_code == len(differing)
    for entry in said["roles"]:
        assert entry["worst"]["b"]["file"].startswith(f"gs://bkt/{below}/") and entry["largest_ulps"] == 1


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_answered_while_a_read_waits(number: int, code: int, hub: Stub):
    hub.faults([{"method": "GET", "path": "safetensors", "times": 100, "status": 503, "headers": {"Retry-After": "60"}}])
    with subprocess.Popen([support.PROGRAM, "diff", "org/llama3", "org/llama31"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + WITHIN_S
        while not any(rule["applied"] for rule in hub.fault_rules()):
            assert time.monotonic() < deadline and running.poll() is None, "no read was tried"
            time.sleep(0.02)
        running.send_signal(number)
        begin = time.monotonic()
        running.communicate(timeout=20)
        assert time.monotonic() - begin < WITHIN_S
    assert running.returncode == code
