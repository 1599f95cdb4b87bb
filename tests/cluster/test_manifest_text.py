"""The server's own reader of YAML finds in a printed Job exactly the words that were given, and Kubernetes' way with $ changes none."""

import json

import pytest

import containers

ODD = ["with space #x", "'q' \"q\" \\", "$(HOME)$$x$", "line\nbreak\ttab", "&a *b !c %d @e", "模型🦙\u2028\x7f\u0085\ufeff", "no", "12"]


@pytest.mark.parametrize("odd", ODD)
def test_server_reads_the_words_that_were_given(node, odd):
    model = containers.GOLDEN / "input"
    printed = containers.run("manifest", model, f"/out/{odd}", "--to", "jetstream-pytorch", "--family", "llama",
                             options=["--volume", f"{model}:{model}:ro"])
    taken = json.loads(node.kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", input=printed.stdout).stdout)
    (container,) = taken["spec"]["template"]["spec"]["containers"]
    assert container["args"][2].replace("$$", "$") == f"/out/{odd}"
    assert container["volumeMounts"][1]["mountPath"] == f"/out/{odd}"


def test_server_takes_an_indexed_job(node):
    model = containers.GOLDEN / "input"
    printed = containers.run("manifest", model, "/out", "--to", "jetstream-pytorch", "--family", "llama", "--shards", "100000",
                             "--parallelism", "2", options=["--volume", f"{model}:{model}:ro"])
    taken = json.loads(node.kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", input=printed.stdout).stdout)["spec"]
    assert (taken["completionMode"], taken["completions"], taken["parallelism"]) == ("Indexed", 100_000, 2)
    assert (taken["backoffLimitPerIndex"], taken["maxFailedIndexes"], taken["podReplacementPolicy"]) == (6, 10_000, "Failed")
    assert [rule["action"] for rule in taken["podFailurePolicy"]["rules"]] == ["FailJob", "Ignore"]
