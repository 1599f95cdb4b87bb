"""An Indexed Job of four parts, two at once, survives what happens to pods, node and bucket, and makes what one run makes."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import containers
from node import IMAGE

sys.path[:0] = [str(containers.ROOT / "tests/stubs"), str(containers.ROOT / "tools")]
import make_model  # noqa: E402
from started import Stub  # noqa: E402

READY = containers.ROOT / "deploy/maxtext/llama-405b/int8-indexed"
PROGRAM = Path(os.environ.get("CKPT", containers.ROOT / "build/ckpt")).resolve()
SHARDS, AT_ONCE = 4, 2
MOST_HOGS = 5
SHAPE = make_model.Shape(8, 1024, 8, 2, 4096, 8192, 128)  # 277 MB
WORDS = ["--inference_server=jetstream-maxtext", "--model_name=llama-3.1", "--model_path=Llama3.1-8B", "--input_directory=/source",
         "--bucket_name=bkt", "--output_directory=gs://bkt/out", "--outputs=scanned,quantized", "--quantize_weights=True",
         "--quantize_type=int8", "--bundle_size=16MiB", "--memory=256MiB", "--threads=1"]
PACE = [{"method": "PUT|POST", "body_over": 1 << 20, "delay": 0.7}]  # of what is uploaded: a pod can be caught in the middle


class Bucket:
    """The stand-in of Cloud Storage, which keeps its objects in a folder; it can go away and come back at its address."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bkt").mkdir(parents=True)
        self.stub = Stub("gcs", ("--folder", str(folder)))
        self.url = self.stub.url

    def restart(self):
        """It is killed, with all requests and unfinished uploads, and starts again."""
        self.stub.process.kill()
        self.stub.stop()
        self.stub = Stub("gcs", ("--folder", str(self.folder), "--port", self.url.rpartition(":")[2]))

    def contents(self):
        """{name: SHA-256} of what a run has made there."""
        return containers.without_state(self.folder / "bkt")

    def recorded(self, index):
        """How many bundles this part has finished, as it says itself."""
        path = self.folder / f"bkt/out/.ckpt-state/shards/{index:05}-of-{SHARDS:05}.json"
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text(encoding="utf-8"))["bundles_done"]
        return 0


@dataclass(frozen=True)
class Job:
    """An Indexed Job that runs."""

    node: object
    name: str

    def pods(self, index):
        """The pods of an index that Kubernetes still knows, oldest first."""
        found = self.node.get("pods", labels=f"job-name={self.name},batch.kubernetes.io/job-completion-index={index}")["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def log(self, pod):
        """What a pod has said."""
        return self.node.kubectl("logs", pod["metadata"]["name"], expect=None).stdout

    def running(self, index, when):
        """Waits until a pod of the index runs and `when()` holds; gives the pod."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            running = [pod for pod in self.pods(index) if pod["status"]["phase"] == "Running"]
            if running and when():
                return running[-1]
            time.sleep(0.1)
        raise AssertionError(f"index {index}\n{self.node.kubectl('get', 'pods', expect=None).stdout}\n"
                             + "\n".join(self.log(pod) for pod in self.pods(index)))


def ready_job(node, name, words, url, model):
    """The Job of deploy/ for 405B, with its own policies, cut to four small pods that reach the stand-in on this machine."""
    made = yaml.safe_load(node.kubectl("kustomize", READY).stdout)
    made["metadata"]["name"] = name
    made["spec"] |= {"completions": SHARDS, "parallelism": AT_ONCE}
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container |= {"image": IMAGE, "imagePullPolicy": "Always", "args": [*words, f"--shards={SHARDS}"],
                  "env": [{"name": "STORAGE_EMULATOR_HOST", "value": url}],
                  "volumeMounts": [{"name": "source", "mountPath": "/source", "readOnly": True}]}
    container["resources"]["requests"] |= {"cpu": "100m", "memory": "320Mi"}
    container["resources"]["limits"]["memory"] = "320Mi"
    pod |= {"hostNetwork": True, "volumes": [{"name": "source", "hostPath": {"path": str(model), "type": "Directory"}}]}
    node.apply(made)
    return Job(node, name)


# Joins the control group of a process and takes memory there until the kernel has ended that process. A process that has ended stays
# in /proc until its parent takes note: who goes on till then is the next that the kernel ends.
EXHAUST = """
import os, re, sys
number = sys.argv[1]
groups = [line.strip().split(":", 2) for line in open(f"/proc/{number}/cgroup")]
(place,) = [path for _, kind, path in groups if kind == "memory"] or [path for _, kind, path in groups if not kind]
group = ("/sys/fs/cgroup/memory" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup") + place
open(f"/proc/{number}/oom_score_adj", "w").write("1000")
open(group + "/cgroup.procs", "w").write(str(os.getpid()))
def resident():
    try:
        with open(f"/proc/{number}/status") as status:
            return int(re.search(r"^VmRSS:\\s+(\\d+) kB", status.read(), re.MULTILINE)[1])
    except (OSError, TypeError):  # gone, or ended and waiting for its parent
        return 0
enough = resident() // 2
held = []
while resident() > enough and len(held) < 1024:
    held.append(b"x" * (1 << 20))
"""


def exhaust_memory(node, pod):
    """The kernel kills the program of this pod, as its container has reached the limit of its memory."""
    identity = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    tasks = containers.call("ctr", "-a", node.folder / "node/containerd.sock", "-n", "k8s.io", "tasks", "ls").stdout
    (process,) = re.findall(rf"^{identity}\s+(\d+)\s", tasks, re.MULTILINE)
    for _ in range(MOST_HOGS):  # the kernel may end the one that takes the memory first, or both
        containers.call(sys.executable, "-c", EXHAUST, process, timeout=60, expect=None)
        if not is_alive(process):
            return
    raise AssertionError(f"process {process} outlives {MOST_HOGS} that took its memory")


def is_alive(process):
    """Whether a process has memory: one that has ended and waits for its parent has none."""
    with contextlib.suppress(OSError):
        return "VmRSS:" in Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return False


@pytest.fixture(scope="module", name="model")
def _model(node):
    """A folder of the node that the pods read."""
    folder = node.folder / "indexed-model"
    make_model.make(folder, SHAPE, 2)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def empty_bucket(folder):
    """While the block runs."""
    bucket = Bucket(folder)
    try:
        yield bucket
    finally:
        bucket.stub.stop()
        shutil.rmtree(bucket.folder)


@pytest.fixture(name="bucket")
def _bucket(folder):
    """An empty bucket of this test's own."""
    with empty_bucket(folder / "buckets") as bucket:
        yield bucket


@pytest.fixture(scope="module", name="whole")
def _whole(node, model):
    """What one undisturbed run makes, at the same place of another bucket."""
    door = node.folder / "bin/checkpoint_entrypoint.sh"
    door.symlink_to(PROGRAM)
    words = [word.replace("/source", str(model)) for word in WORDS]
    with empty_bucket(node.folder / "whole") as bucket:
        containers.call(door, *words, env={"PATH": "/usr/bin:/bin", "STORAGE_EMULATOR_HOST": bucket.url})
        return bucket.contents()


def kept(log):
    """How many finished bundles a program found at its start; None where it does not say."""
    found = re.search(r"(\d+) of \d+ bundles", log)
    return int(found[1]) if found else None


def test_an_indexed_job_survives_lost_pods_memory_kubelet_and_bucket(node, bucket, model, whole):
    bucket.stub.faults(PACE)
    began = time.monotonic()
    job = ready_job(node, "indexed", WORDS, bucket.url, model)
    deleted = job.running(0, lambda: bucket.recorded(0) >= 1)
    node.kubectl("delete", "pod", "--wait=false", deleted["metadata"]["name"])
    exhausted = job.running(1, lambda: bucket.recorded(1) >= 1)
    exhaust_memory(node, exhausted)
    stood = {index: bucket.recorded(index) for index in (0, 1)}
    node.kubelet("stop")
    time.sleep(2)
    node.kubelet("start")
    job.running(2, lambda: bucket.recorded(2) >= 1)
    bucket.restart()
    ended = node.wait("indexed", timeout_s=100)

    pods = {index: job.pods(index) for index in range(SHARDS)}
    logs = {index: [job.log(pod) for pod in pods[index]] for index in pods}
    assert ended.verdict == "Complete", logs
    assert node.get("jobs", "indexed")["status"]["completedIndexes"] == "0-3"
    assert deleted["metadata"]["uid"] not in [pod["metadata"]["uid"] for pod in pods[0]] and pods[0]
    first = pods[1][0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (first["reason"], first["exitCode"]) == ("OOMKilled", 137)
    assert len(pods[1]) >= 2
    for index, again in ((0, logs[0][0]), (1, logs[1][1])):
        assert (kept(again) or 0) >= stood[index] >= 1, f"index {index}\n{again}"
    assert bucket.contents() == whole
    assert any("Completed quantizing model" in text for texts in logs.values() for text in texts), logs
    codes = {index: [pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in pods[index]] for index in pods}
    print(f"{time.monotonic() - began:.0f} s; bundles kept by indices 0 and 1: {stood}; exit codes of the pods that are left: {codes}")


@pytest.mark.parametrize("name, more, code, word", [
    ("indexed-misspelt", ["--quantise_type=int8"], 64, "quantize_type"), ("indexed-refused", [], 78, "answered 403")])
def test_what_no_try_can_mend_ends_an_indexed_job_at_once(node, bucket, model, name, more, code, word):
    """Wrong flags, and a bucket that answers 403 to whoever writes: here to somebody without credentials, as none go to a stand-in."""
    bucket.stub.faults([{"method": "POST|PUT", "status": 403,
                         "body": '{"error": {"code": 403, "message": "no access", "errors": [{"reason": "forbidden"}]}}'}])
    job = ready_job(node, name, [*WORDS, *more], bucket.url, model)
    ended = node.wait(name)
    assert (ended.verdict, ended.reason) == ("Failed", "PodFailurePolicy"), ended.log
    pods = [job.pods(index) for index in range(SHARDS)]
    # A pod that is still being started where the other ends the Job is removed with it.
    assert max(map(len, pods)) == 1 and not any(pods[2:]), "an index was tried again, or another was begun"
    said = [status["state"]["terminated"] for of_index in pods for pod in of_index
            for status in pod["status"].get("containerStatuses", []) if "terminated" in status["state"]]
    assert code in [end["exitCode"] for end in said], said
    assert any(word in end.get("message", "") for end in said), said
    assert not bucket.contents()
