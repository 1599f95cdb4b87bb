"""`ckpt manifest` prints a Job that Kubernetes takes, and whose container does exactly what `ckpt convert` would do."""

import json
import re

import kubernetes_validate
import pytest
import yaml

import support

VERSION = "1.35"  # of the schemas: the cluster of tests/cluster
GOLDEN = support.GOLDEN / "maxtext/llama3.1/hf"
TO_MAXTEXT = ("--to", "maxtext", "--outputs", "scanned,int8", "--model", "llama3.1-8b")
TO_PYTORCH = ("--to", "jetstream-pytorch", "--quantize", "int8_per_channel")


def manifest(source, destination, *flags, expect=0):
    return support.run("manifest", source, destination, *flags, expect=expect)


def job_of(ran):
    """The one Job, valid by the schema that knows every field."""
    documents = list(yaml.safe_load_all(ran.stdout))
    assert len(documents) == 1
    kubernetes_validate.validate(documents[0], VERSION, strict=True)
    return documents[0]


def pod_of(job):
    return job["spec"]["template"]["spec"]


def arguments_of(job):
    """The container's arguments as Kubernetes hands them over: it reads $$ as $; $(NAME) of ours must not be left."""
    words = pod_of(job)["containers"][0]["args"]
    assert not any(re.search(r"(?<!\$)(\$\$)*\$\(", word) for word in words), words
    return [word.replace("$$", "$") for word in words]


def options(verb):
    return set(re.findall(r"^ {2}(?:-\w,)?(--[a-z-]+)", support.run(verb, "--help", expect=0).stdout, re.MULTILINE))


@pytest.mark.parametrize("flags", [
    TO_MAXTEXT, TO_PYTORCH,
    (*TO_PYTORCH, "--claim", "models", "--user", "1000", "--namespace", "ml", "--name", "one", "--image", "r.example/p/i@sha256:0"),
    (*TO_MAXTEXT, "--memory", "200000000", "--threads", "3", "--overwrite", "--quiet", "--io", "buffered", "--mesh", "fsdp=2"),
    (*TO_MAXTEXT, "--shards", "100000", "--parallelism", "8", "--verify-resume"),
], ids=["maxtext", "pytorch", "claim", "resources", "shards"])
def test_a_job_is_valid_in_both_forms(flags, tmp_path):
    job = job_of(manifest(GOLDEN, tmp_path / "out", *flags))
    assert json.loads(manifest(GOLDEN, tmp_path / "out", *flags, "--json").stdout) == job
    assert not (tmp_path / "out").exists()


def test_every_option_of_convert_is_one_of_manifest():
    assert options("convert") - options("manifest") == set()
    assert options("manifest") - options("convert") == {"--image", "--name", "--namespace", "--claim", "--user", "--parallelism"}


@pytest.mark.parametrize("flags", [TO_MAXTEXT, TO_PYTORCH], ids=["maxtext", "pytorch"])
def test_the_containers_arguments_do_that_very_conversion(flags, tmp_path):
    support.run("convert", GOLDEN, tmp_path / "here", *flags, expect=0)
    support.run(*arguments_of(job_of(manifest(GOLDEN, tmp_path / "pod", *flags))), expect=0)
    assert support.outputs_of(tmp_path / "pod") == support.outputs_of(tmp_path / "here") != {}


@pytest.mark.parametrize(("flags", "parallelism"), [((), 40), (("--parallelism", "8"), 8), (("--parallelism", "41"), 40)])
def test_shards_are_the_indexes_of_the_job(flags, parallelism, tmp_path):
    """Each with tries of its own; the words that a pod gets are those that take its index."""
    job = job_of(manifest(GOLDEN, tmp_path / "out", *TO_PYTORCH, "--shards", 40, *flags))
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 40, parallelism)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (6, 4)
    assert "backoffLimit" not in spec
    actions = [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in spec["podFailurePolicy"]["rules"]]
    assert actions == [("FailJob", [64, 65, 66, 70, 73, 77, 78]), ("Ignore", None)]
    words = arguments_of(job)
    assert "--shards=40" in words and not any("parallelism" in word for word in words)


def test_one_pod_does_all_without_shards(tmp_path):
    spec = job_of(manifest(GOLDEN, tmp_path / "out", *TO_PYTORCH))["spec"]
    assert spec["backoffLimit"] == 3
    assert not {"completionMode", "completions", "parallelism", "backoffLimitPerIndex"} & set(spec)


def test_every_option_that_was_given_reaches_the_container(tmp_path):
    given = ["--model=llama3.1-8b", "--outputs=scanned,int8", f"--output=int8={tmp_path}/q", f"--output=scanned={tmp_path}/s",
             "--dtype=float32", "--compression=zstd:1", "--orbax-layout=pathways", "--quant-layout=linen", "--rope-layout=half",
             "--mesh=fsdp=2", "--bundle-size=1MiB", "--io=buffered", "--family=llama", "--overwrite", "--quiet", "--verify-resume", "--shard=2/8"]
    words = arguments_of(job_of(manifest(GOLDEN, tmp_path / "out", "--to=maxtext", *given, "--memory=200MiB", "--threads=3")))
    assert words[:3] == ["convert", str(GOLDEN), str(tmp_path / "out")]
    assert sorted(words[3:]) == sorted(["--to=maxtext", *given, "--memory=200MiB", "--threads=3"])
    words = arguments_of(job_of(manifest(GOLDEN, tmp_path / "out", "--to=jetstream-pytorch", "--preserve-dtype")))
    assert "--preserve-dtype" in words


def test_budget_and_threads_are_the_plans_and_so_are_the_resources(tmp_path):
    plan = json.loads(support.run("plan", GOLDEN, tmp_path / "out", *TO_MAXTEXT, "--threads", 5, "--memory", "896MiB", "--json", expect=0).stdout)
    ran = manifest(GOLDEN, tmp_path / "out", *TO_MAXTEXT, "--threads", 5)
    container = pod_of(job_of(ran))["containers"][0]
    budget = plan["memory"]["budget_bytes"]
    words = arguments_of(job_of(ran))
    assert "--threads=5" in words
    assert f"--memory={budget // support.MIB}MiB" in words or f"--memory={budget}" in words
    limit = f"{-(-(budget + 64 * support.MIB) // support.MIB)}Mi"
    assert container["resources"] == {"requests": {"cpu": "5", "memory": limit, "ephemeral-storage": "1Gi"},
                                      "limits": {"memory": limit, "ephemeral-storage": "1Gi"}}
    comments = "".join(line for line in ran.stdout.splitlines(True) if line.startswith("#"))
    assert f"in      {plan['bytes']['read']} bytes" in comments
    assert f"out     {plan['bytes']['written']} bytes" in comments


def test_the_example_of_405b_is_an_indexed_job_of_the_plans_size():
    """Three outputs in eight pods, of a model of that shape; planned in a pod's few cores."""
    flags = ("--to", "maxtext", "--outputs", "scanned,unscanned,int8", "--model", "llama3.1-405b", "--threads", 8, "--shards", 8)
    place = "gs://bucket/maxtext/llama-3.1-405b"
    plan = json.loads(support.run("plan", support.preset("405b"), *flags, "--memory", "1280MiB", "--json", expect=0).stdout)
    spec = job_of(manifest(support.preset("405b"), place, *flags))["spec"]
    assert (spec["completionMode"], spec["completions"], spec["backoffLimitPerIndex"]) == ("Indexed", 8, 6)
    (container,) = spec["template"]["spec"]["containers"]
    held = plan["memory"]["budget_bytes"] + 64 * support.MIB
    assert container["resources"]["requests"] == {"cpu": "8", "memory": f"{-(-held // support.MIB)}Mi", "ephemeral-storage": "1Gi"}
    assert plan["bytes"]["written"] > 2_000_000_000_000
    print(f"405B in 8 pods, each: {container['resources']['requests']}")


def test_equal_arguments_give_equal_bytes_in_any_order(tmp_path):
    flags = (*TO_MAXTEXT, "--threads=2", "--memory=256MiB")
    text = manifest(GOLDEN, tmp_path / "out", *flags).stdout
    assert manifest(GOLDEN, tmp_path / "out", *flags).stdout == text
    assert manifest(GOLDEN, tmp_path / "out", *reversed(flags[6:]), *flags[4:6], *flags[2:4], *flags[:2]).stdout == text


def test_equal_jobs_have_one_name_and_others_another(tmp_path):
    def name(*flags):
        return job_of(manifest(GOLDEN, tmp_path / "out", *flags, "--memory=256MiB"))["metadata"]["name"]

    assert name(*TO_MAXTEXT) == name(*TO_MAXTEXT)
    assert name(*TO_MAXTEXT) != name(*TO_MAXTEXT, "--dtype=float32")


@pytest.mark.parametrize("odd", ["with space #x", "'q' \"q\" \\", "$(HOME)$$x$", "line\nbreak\ttab", "&a *b !c %d @e",
                                 "模型🦙\u2028\x7f", "--to", "[a]{b}"])
def test_a_folder_may_have_any_name(odd, tmp_path):
    source = tmp_path / odd
    support.small(source)
    job = job_of(manifest(source, tmp_path / f"{odd} out", *TO_PYTORCH))
    assert arguments_of(job)[1:3] == [str(source), str(tmp_path / f"{odd} out")]
    assert [mount["mountPath"] for mount in pod_of(job)["containers"][0]["volumeMounts"]] == [str(source), str(tmp_path / f"{odd} out")]
    support.run(*arguments_of(job), expect=0)


def test_folders_are_those_of_the_node_and_only_the_output_is_written(tmp_path):
    pod = pod_of(job_of(manifest(GOLDEN, tmp_path / "out", *TO_PYTORCH)))
    mounts = {mount["name"]: (mount["mountPath"], mount.get("readOnly", False)) for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume["hostPath"] for volume in pod["volumes"]}
    assert sorted(mounts.values()) == sorted([(str(GOLDEN), True), (str(tmp_path / "out"), False)])
    assert {name: volume["path"] for name, volume in volumes.items()} == {name: path for name, (path, _) in mounts.items()}


def test_outputs_elsewhere_move_the_mount_up_to_what_all_have_in_common(tmp_path):
    job = job_of(manifest(GOLDEN, tmp_path / "out/all", *TO_MAXTEXT, "--output", f"int8={tmp_path}/out/served"))
    written = [mount["mountPath"] for mount in pod_of(job)["containers"][0]["volumeMounts"] if "readOnly" not in mount]
    assert written == [str(tmp_path / "out")]


def test_relative_paths_are_said_in_full(tmp_path, monkeypatch):
    support.small(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert arguments_of(job_of(manifest("./model/", "x/../out", *TO_PYTORCH)))[1:3] == [str(tmp_path / "model"), str(tmp_path / "out")]


def test_folders_that_a_models_files_link_to_are_mounted_too(tmp_path):
    """As a downloader's cache has them: snapshots of links to blobs."""
    snapshot, blobs = tmp_path / "hub/snapshots/abc", tmp_path / "hub/blobs"
    support.small(blobs)
    snapshot.mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        (snapshot / file).symlink_to(f"../../blobs/{file}")
    for source in (snapshot, snapshot / "model.safetensors"):
        job = job_of(manifest(source, tmp_path / "out", *TO_PYTORCH))
        read = {mount["mountPath"] for mount in pod_of(job)["containers"][0]["volumeMounts"] if mount.get("readOnly")}
        assert read == {str(snapshot), str(blobs)}
        assert arguments_of(job)[1] == str(source)


def test_a_family_table_is_mounted(tmp_path):
    table = tmp_path / "tables/mine.toml"
    table.parent.mkdir()
    table.write_text((support.ROOT / "models/llama.toml").read_text())
    job = job_of(manifest(GOLDEN, tmp_path / "out", *TO_PYTORCH, "--family", table))
    assert f"--family={table}" in arguments_of(job)
    assert str(table.parent) in [mount["mountPath"] for mount in pod_of(job)["containers"][0]["volumeMounts"] if mount.get("readOnly")]


def test_a_claim_stands_for_the_folder_where_it_is_mounted(tmp_path):
    support.small(tmp_path / "models/llama")
    for claim, root in ((f"big:{tmp_path}", tmp_path), ("big", tmp_path / "models")):
        pod = pod_of(job_of(manifest(tmp_path / "models/llama", tmp_path / "models/out", *TO_PYTORCH, "--claim", claim)))
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]] == ["big"]
        for mount in pod["containers"][0]["volumeMounts"]:
            assert f"{root}/{mount['subPath']}" == mount["mountPath"]


def test_a_named_user_may_not_be_root(tmp_path):
    security = pod_of(job_of(manifest(GOLDEN, tmp_path / "out", *TO_PYTORCH, "--user", "1000:2000")))["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (True, 1000, 2000, 2000)


@pytest.mark.parametrize(("flags", "words"), [
    (("--name", "Upper"), "--name"), (("--name", "a" * 64), "--name"), (("--namespace", "a.b"), "--namespace"),
    (("--image", "two words"), "--image"), (("--user", "0"), "--user"), (("--user", "me"), "--user"), (("--claim", ":x"), "--claim"),
    (("--shards", "0"), "--shards"), (("--shards", "100001"), "100000"), (("--shard", "auto"), "--shards N"),
    (("--parallelism", "2"), "--shards"), (("--shards", "4", "--parallelism", "0"), "--parallelism"),
    (("--claim", "big:/somewhere/else"), "/somewhere/else"), (("--quantize", "int9"), "int9"), (("--outputs", "int8"), "--outputs"),
])
def test_wrong_words_are_refused(flags, words, tmp_path):
    support.assert_refused(manifest(GOLDEN, tmp_path / "out", "--to", "jetstream-pytorch", *flags, expect=None), 64, words)


def test_what_convert_would_refuse_is_refused(tmp_path):
    support.assert_refused(manifest(GOLDEN, "null:", *TO_PYTORCH, expect=None), 64, "null:")
    support.assert_refused(manifest(GOLDEN, "/a:b", *TO_PYTORCH, expect=None), 64, "colon")
    support.assert_refused(manifest(GOLDEN, "/", *TO_PYTORCH, expect=None), 64, "pod")
    support.assert_refused(manifest(tmp_path / "nothing", tmp_path / "out", *TO_PYTORCH, expect=None), 66, "nothing")
    support.assert_refused(manifest(GOLDEN, GOLDEN, *TO_PYTORCH, expect=None), 64, "same folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_text("mine")
    support.assert_refused(manifest(GOLDEN, tmp_path / "full", *TO_PYTORCH, expect=None), 73, "full")
    support.assert_refused(manifest(GOLDEN, tmp_path / "out", *TO_PYTORCH, "--memory", "1MiB", expect=None), 64, "--memory")
