"""Jobs of every kind for a while, over services of which one request in a hundred goes wrong, while pods are deleted at random."""

import contextlib
import glob
import json
import os
import random
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import containers
import node as nodes
import services
from started import started

IMAGE = "us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.5"
BUCKET, MEDIUM = "soak", "org/medium-8b"
RATE = 0.01  # of the requests of each service
AT_ONCE = 3
MOST_DELETED = 3  # pods of a Job: Kubernetes waits twice as long after each
LAST_WAIT_S = 240  # for Jobs that have begun when the time is over: tries again wait 10 s, 20 s, ..
DOCUMENTED = {0, 65, 66, 69, 74, 75, 77, 78, 143}  # without 64, 70, 71, 73: nobody gave wrong arguments, and the rest would be our fault
GONE = {137}  # of a deleted pod that did not end in time
STATUSES = (408, 429, 500, 502, 503, 504)
# Each kind of fault of a reading service, and of a bucket; a service's rate is dealt evenly to its kinds.
READING = [*({"status": status, "headers": {"Retry-After": "1"}} for status in STATUSES),
           {"method": "GET", "range_matches": "bytes=", "cut_after": 65536}, {"method": "GET", "range_matches": "bytes=", "cut_after": 0},
           {"method": "GET", "range_matches": "bytes=", "stall_after": 1000, "seconds": 3},
           {"method": "GET", "range_matches": "bytes=", "short_by": 100}, {"method": "GET", "range_matches": "bytes=", "range": "bytes 1-2/3"},
           {"method": "GET", "range_matches": "bytes=", "ignore_range": True}, {"refuse": True}, {"expired": True}, {"other_name": True},
           {"status": 302, "headers": {"Location": "http://169.254.169.254/computeMetadata/v1/"}}]
WRITING = [*({"status": status, "headers": {"Retry-After": "1"}} for status in STATUSES),
           {"method": "PUT|POST", "body_over": 1000, "cut_upload_after": 500}, {"method": "PUT|POST", "body_over": 70000, "cut_upload_after": 65536},
           {"method": "PUT|POST", "status": 503, "carried_out": True, "headers": {"Retry-After": "0"}},
           {"method": "PUT", "query": "upload_id", "persist": 262144}, {"method": "PUT", "query": "upload_id", "session_gone": 410},
           {"method": "POST", "query": "uploadId", "complete_error": True}, {"method": "GET", "query": "alt=media", "hash": "crc32c=AAAAAA=="},
           {"status": 401}, {"refuse": True}, {"other_name": True}, {"delay": 3}]


@dataclass(frozen=True)
class Kind:
    """A kind of Job: its arguments, where OUT is its own place, and in how many parts it is made."""

    name: str
    args: tuple
    shards: int = 1


KINDS = (
    Kind("hub-maxtext", ("-b=soak", "-m=meta-llama/Llama-3.1-8B", "-n=llama-3.1", "-h=True", "-o=OUT")),
    Kind("hub-int8-blockwise", ("-s=jetstream-pytorch", "-m=meta-llama/Meta-Llama-3-8B", "-n=llama-3", "-h=True", "-q=True",
                                "-t=int8_blockwise", "-o=OUT")),
    Kind("bucket-pytorch", ("-s=jetstream-pytorch", "-m=/models", "-i=gs://soak/source", "-n=llama-2", "-o=OUT")),
    Kind("meta-int8", ("-b=soak", "-m=Llama3.1-8B", "-n=llama-3.1", "-u=LINK", "-q=True", "-t=int8", "-o=OUT")),
    Kind("kaggle-verb", ("convert", f"kaggle://{services.HANDLE}", "OUT", "--to", "maxtext", "--outputs", "scanned,int8",
                         "--model", "gemma-7b")),
    Kind("medium-in-two", ("convert", f"hf://{MEDIUM}", "OUT", "--to", "jetstream-pytorch", "--bundle-size", "1MiB", "--threads", "1",
                           "--shards", "2"), 2),
    Kind("medium", ("-b=soak", f"-m={MEDIUM}", "-n=llama-3.1", "-h=True", "--bundle_size=1MiB", "--threads=1", "-o=OUT")),
)


@dataclass
class Told:
    """What came of it."""

    verdicts: Counter = field(default_factory=Counter)  # by kind and verdict
    codes: Counter = field(default_factory=Counter)  # of containers
    errors: Counter = field(default_factory=Counter)  # as their logs tell them
    deleted: int = 0
    resolver_stops: int = 0
    faults: Counter = field(default_factory=Counter)  # how often each was met
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        complete = sum(count for (_, verdict), count in self.verdicts.items() if verdict == "Complete")
        return [f"{sum(self.verdicts.values())} Jobs, {complete} complete with the right bytes, "
                f"{sum(self.verdicts.values()) - complete} failed as documented; {self.deleted} pods deleted, "
                f"{sum(self.faults.values())} faults met of {len(self.faults)} kinds, the resolver stopped {self.resolver_stops} times",
                f"exit codes of containers: {dict(sorted(self.codes.items()))}",
                *(f"{count} x {re.sub(chr(10) + ' +', '; ', text)}" for text, count in sorted(self.errors.items())),
                "Jobs: " + ", ".join(f"{kind} {verdict} {count}" for (kind, verdict), count in sorted(self.verdicts.items())),
                "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))]


def settled(kind: Kind, name: str, link: str) -> list[str]:
    return [arg.replace("OUT", f"gs://{BUCKET}/{name}").replace("LINK", link) for arg in kind.args]


def references(world) -> dict[str, dict[str, str]]:
    """{kind: what it must leave}, made by runs over services without faults."""
    found = {}
    door = world.folder / "checkpoint_entrypoint.sh"
    door.symlink_to(Path(os.environ.get("CKPT", containers.ROOT / "build/ckpt")).resolve())
    words = [word for name, place in world.repositories.items() for word in ("--repo", f"{name}={place}")]
    with (started("gcs", "--folder", str(world.folder / "references"), "--bucket", BUCKET) as buckets, started("hf", *words) as hub,
          started("kaggle", "--model", f"{services.HANDLE}={services.GOLDEN / 'maxtext/gemma-7b/kaggle'}", "--user",
                  f"{services.KAGGLE_USER}:{services.KAGGLE_KEY}") as kaggle):
        for path in (world.bucket_folder(BUCKET) / "source").iterdir():
            buckets.put(f"{BUCKET}/source/{path.name}", path.read_bytes())
        environment = {"PATH": "/usr/bin:/bin", "STORAGE_EMULATOR_HOST": buckets.url, "HF_ENDPOINT": hub.url,
                       "KAGGLE_API_ENDPOINT": kaggle.url, "CKPT_META_ENDPOINT": world.meta.url,
                       "KAGGLE_USERNAME": services.KAGGLE_USER, "KAGGLE_KEY": services.KAGGLE_KEY}
        for kind in KINDS:
            for shard in range(kind.shards):
                more = ("--shard", f"{shard}/{kind.shards}") if kind.shards > 1 else ()
                args = settled(kind, kind.name, world.meta.said["link"])
                containers.call(door, *(args[:args.index("--shards")] if more else args), *more, env=environment)
            found[kind.name] = containers.without_state(world.folder / "references" / BUCKET / kind.name)
            assert found[kind.name], kind.name
    return found


def manifest(kind: Kind, name: str, link: str) -> dict:
    """A Job as those of deploy/."""
    mounts = {"kaggle": ("/kaggle", "kaggle-secret"), "hub": ("/huggingface", "huggingface-secret")}
    container = {"name": "inference-checkpoint", "image": IMAGE, "args": settled(kind, name, link),
                 "env": [{"name": "HF_TOKEN_PATH", "value": "/huggingface/HUGGINGFACE_TOKEN"},
                         {"name": "KAGGLE_CONFIG_DIR", "value": "/kaggle"}],
                 "resources": {"limits": {"memory": "384Mi"}, "requests": {"memory": "64Mi", "cpu": "50m"}},
                 "volumeMounts": [{"name": key, "mountPath": path, "readOnly": True} for key, (path, _) in mounts.items()]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "containers": [container],
           "volumes": [{"name": key, "secret": {"secretName": secret}} for key, (_, secret) in mounts.items()]}
    spec = {"backoffLimit": 8, "podFailurePolicy": nodes.FAILURE_POLICY, "template": {"metadata": {"labels": {"soak": name}}, "spec": pod}}
    if kind.shards > 1:
        spec |= {"completionMode": "Indexed", "completions": kind.shards, "parallelism": kind.shards}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"soak": name}}, "spec": spec}


class Soak:
    """Runs Jobs, a few at once, and holds each to its bytes or its code."""

    def __init__(self, world, minutes: float, seed: int):
        self.world, self.minutes = world, minutes
        self.chances = random.Random(seed)
        self.told = Told()
        self.begun: dict[str, Kind] = {}
        self.deleted: Counter = Counter()  # pods, by Job
        self.said: dict[str, dict[str, str]] = {}  # by Job and pod, the last lines: those of a deleted pod are gone with it

    def run(self) -> Told:
        world = self.world
        world.seed(BUCKET, "source", services.GOLDEN / "jetstream-pytorch/llama-2-meta/input")
        expected = references(world)
        world.offer(IMAGE)
        stubs = {"hub": (world.hub, READING), "kaggle": (world.kaggle, READING), "meta": (world.meta, READING),
                 "bucket": (world.buckets, [*WRITING, *(rule for rule in READING if "range_matches" in rule)])}
        for stub, kinds in stubs.values():
            stub.faults([{**rule, "chance": RATE / len(kinds) * 2} for rule in kinds])  # each kind matches about half of the requests
        try:
            self.go_on(expected)
        finally:
            for name, (stub, _) in stubs.items():
                for rule in stub.fault_rules():
                    self.told.faults[f"{name} {named(rule)}"] += rule["applied"]
                stub.clear_faults()
        self.told.faults = Counter({name: count for name, count in self.told.faults.items() if count})
        return self.told

    def go_on(self, expected: dict) -> None:
        until = time.monotonic() + self.minutes * 60
        number = 0
        while time.monotonic() < until or self.begun:
            if time.monotonic() > until + LAST_WAIT_S:
                self.told.wrong += [f"{name} does not end" for name in self.begun]
                break
            while time.monotonic() < until and len(self.begun) < AT_ONCE:
                kind = self.chances.choice(KINDS)
                name = f"soak-{number}-{kind.name}"
                self.world.node.apply(manifest(kind, name, self.world.link()))
                self.begun[name] = kind
                number += 1
            if time.monotonic() < until:
                self.disturb()
            self.listen()
            self.gather(expected)
            time.sleep(0.2)

    def disturb(self) -> None:
        """Now and then a pod is deleted, or nobody answers who asks for a name."""
        if self.chances.random() < 0.15:
            pods = [pod for pod in self.world.node.get("pods", labels="soak")["items"] if pod["status"]["phase"] == "Running"
                    and self.deleted[pod["metadata"]["labels"]["soak"]] < MOST_DELETED]
            if pods:
                pod = self.chances.choice(pods)["metadata"]
                self.world.node.kubectl("delete", "pod", "--wait=false", pod["name"], expect=None)
                self.deleted[pod["labels"]["soak"]] += 1
                self.told.deleted += 1
        if self.chances.random() < 0.02:
            process = int((self.world.node.folder / "node/world/dnsmasq.pid").read_text(encoding="utf-8"))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
                time.sleep(1.5)
                os.kill(process, signal.SIGCONT)
                self.told.resolver_stops += 1

    def listen(self) -> None:
        # Unlike Path.glob, this passes over a folder that the kubelet removes meanwhile.
        for found in glob.glob(f"{self.world.node.folder}/node/podlogs/*/*/*.log"):
            path = Path(found)
            pod = path.parts[-3].split("_")[1]
            name = pod.rpartition("-")[0]
            job = name if name in self.begun else name.rpartition("-")[0]  # of an Indexed Job the index is in between
            if job in self.begun:
                with contextlib.suppress(OSError):
                    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                    self.said.setdefault(job, {})[pod] = "\n".join(line.split(" ", 3)[-1] for line in lines[-12:])

    def gather(self, expected: dict) -> None:
        """Takes note of Jobs that have ended."""
        ended = {job["metadata"]["name"]: nodes.ending(job) for job in self.world.node.get("jobs")["items"]}
        for name in [name for name in self.begun if ended.get(name)]:
            kind = self.begun.pop(name)
            self.hold(name, kind, ended[name], expected[kind.name])
            self.said.pop(name, None)
            self.world.node.kubectl("delete", "job", name, "--wait=false")

    def hold(self, name: str, kind: Kind, condition: dict, expected: dict[str, str]) -> None:
        verdict = condition["type"]
        self.told.verdicts[kind.name, verdict] += 1
        ends = nodes.ends(self.world.node.pods(name))
        # A pod may have been deleted since.
        told = re.search(r"failed with exit code (\d+)", condition.get("message", ""))
        reason = int(told[1]) if told else None
        self.told.codes.update(end["exitCode"] for end in ends)
        for end in ends:
            if end["exitCode"]:
                said = self.world.node.kubectl("logs", end["pod"], expect=None).stdout
                self.told.errors[(re.findall(r"ckpt: .*(?:\n  .*)*", said) or [f"nothing, exit {end['exitCode']}"])[-1]] += 1
        complaints = [f"a container ended with {end['exitCode']}: {end.get('message', '')}" for end in ends
                      if end["exitCode"] not in DOCUMENTED | GONE]
        if verdict == "Complete":
            made = containers.without_state(self.world.bucket_folder(BUCKET) / name)
            if made != expected:
                complaints.append(f"other bytes: {sorted(made.items() ^ expected.items())[:6]}")
            left = [upload for names in self.world.buckets.uploads().values() for upload in names if f"{name}/" in upload]
            if left:
                complaints.append(f"uploads that nobody ended: {left}")
        elif reason not in DOCUMENTED and condition.get("reason") != "BackoffLimitExceeded":
            complaints.append(f"failed without a reason: {condition}")
        elif kind.args[0] != "convert" and not all(end.get("message") for end in ends if end["exitCode"] not in {0, *GONE}):
            complaints.append("a failure without a termination message")
        if complaints:
            complaints += [f"its folder: {self.left(name)}", *(f"{pod} said: {text}" for pod, text in self.said.get(name, {}).items())]
        self.told.wrong += [f"{name}: {verdict}: {complaint}" for complaint in complaints]

    def left(self, name: str) -> str:
        """What a Job has left, and why its last run ended, as its reports tell."""
        folder = self.world.bucket_folder(BUCKET) / name
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        said = [path.read_text(encoding="utf-8", errors="replace")[:2000] for path in files if path.name == "report.json"]
        return "; ".join([", ".join(str(path.relative_to(folder)) for path in files[:40]), *said])


def named(rule: dict) -> str:
    """A fault's kind, in a few words."""
    actions = {key: value for key, value in rule.items()
               if key not in ("method", "path", "query", "range_matches", "body_over", "skip", "times", "chance", "applied", "headers", "seconds")}
    to = " to the metadata server" if "169.254" in json.dumps(rule) else ""
    return " ".join(f"{key}={value}" if value is not True else key for key, value in actions.items()) + to
