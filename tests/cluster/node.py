"""A real one-node Kubernetes with a registry beside it, and Jobs on it."""

import contextlib
import functools
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import api
import containers

FOLDER = containers.ROOT / "build/cluster"
IMAGE = "us-central1-docker.pkg.dev/test-project/jetstream/inference-checkpoint:latest"
SCRIPT = containers.ROOT / "tools/cluster.sh"
HARDENED_POD = {"runAsNonRoot": True, "runAsUser": 12345, "runAsGroup": 12345,
                "seccompProfile": {"type": "RuntimeDefault"}}
HARDENED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
HOPELESS = [64, 65, 66, 70, 73, 77, 78]  # exit codes after which the same Job can only fail again
FAILURE_POLICY = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": HOPELESS}},
                            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


@dataclass(frozen=True)
class Ended:
    """A Job that came to its end: its one-word verdict ("Complete", "Failed"), its pods, and what the last one said."""

    verdict: str
    reason: str
    pods: list
    log: str
    seconds: float

    def container(self):
        """How the last pod's container ended: exitCode, reason, message."""
        return self.pods[-1]["status"]["containerStatuses"][0]["state"]["terminated"]


@dataclass(frozen=True)
class Node:
    """A running node."""

    folder: Path
    environment: dict

    def kubectl(self, *words, expect=0, **options):
        """kubectl WORDS..."""
        return containers.call(self.folder / "bin/kubectl", *words, expect=expect, env=self.environment, **options)

    @functools.cached_property
    def _api(self):
        return api.Api(Path(self.environment["KUBECONFIG"]))

    def get(self, kind, name="", labels=""):
        """One object of a kind, or all with these labels, as data."""
        return self._api.get(kind, name, labels)

    def apply(self, manifest):
        """Creates what a manifest (data, or text) says."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        self.kubectl("apply", "-f", "-", input=text)

    def pods(self, name):
        """The pods of a Job."""
        return self.get("pods", labels=f"job-name={name}")["items"]

    def _until(self, name, what, timeout_s, find):
        """What `find` gives as soon as it gives something; all that is known of the Job where it does not in time."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if found := find():
                return found
            time.sleep(0.2)
        known = self.kubectl("describe", "job,pod", "-l", f"job-name={name}", expect=None).stdout
        raise AssertionError(f"Job {name}: not within {timeout_s} s: {what}\n{known[-6000:]}")

    def wait(self, name, timeout_s=120):
        """Waits for the end of a Job, whatever it is."""
        began = time.monotonic()
        condition = self._until(name, "its end", timeout_s, lambda: ending(self.get("jobs", name)))
        pods = sorted(self.pods(name), key=lambda pod: pod["metadata"]["creationTimestamp"])
        log = self.kubectl("logs", "-l", f"job-name={name}", "--tail=-1").stdout
        return Ended(condition["type"], condition.get("reason", ""), pods, log, time.monotonic() - began)

    def wait_for_end_of_pod(self, name, timeout_s=60):
        """Waits until a pod of a Job has ended, which may be tried again; how its container ended."""
        return self._until(name, "the end of a pod", timeout_s, lambda: next(iter(ends(self.pods(name))), None))

    def wait_for_event(self, name, reason, timeout_s=60):
        """Waits until something of this kind is told of a pod of a Job."""
        def is_told():
            pods = {pod["metadata"]["name"] for pod in self.pods(name)}
            return any(event["reason"] == reason and event["involvedObject"]["name"] in pods for event in self.get("events")["items"])
        self._until(name, reason, timeout_s, is_told)

    def kubelet(self, command):
        """`stop` and `start` of the kubelet alone; the pods go on without it."""
        containers.call(SCRIPT, "kubelet", self.folder / "node", command, env=self.environment)

    def run(self, name, args, volumes, **changes):
        """Runs a Job of ours to its end."""
        self.apply(job(name, args, volumes, **changes))
        return self.wait(name)


def ending(job):
    """The condition that says how a Job came to its end; None before."""
    return next((condition for condition in job.get("status", {}).get("conditions", [])
                 if condition["status"] == "True" and condition["type"] in ("Complete", "Failed")), None)


def ends(pods):
    """How the containers of pods ended, with the pod's name, of those that have."""
    return [{"pod": pod["metadata"]["name"], **status["state"]["terminated"]} for pod in pods
            for status in pod["status"].get("containerStatuses", []) if "terminated" in status["state"]]


def job(name, args, volumes, pod_security=None, security=None, memory="1Gi", command=None):
    """A Job as a user would write it; `volumes` is {path in the container: (path on the node, read only)}."""
    container = {"name": "inference-checkpoint", "image": IMAGE, "imagePullPolicy": "Always", "args": list(args),
                 "resources": {"limits": {"memory": memory}, "requests": {"memory": "64Mi", "cpu": "100m"}},
                 "volumeMounts": [{"name": f"v{number}", "mountPath": path, "readOnly": read_only}
                                  for number, (path, (_, read_only)) in enumerate(volumes.items())]}
    container |= {"securityContext": security} if security else {}
    container |= {"command": command} if command else {}
    pod = {"restartPolicy": "Never", "containers": [container],
           "volumes": [{"name": f"v{number}", "hostPath": {"path": str(where), "type": "Directory"}}
                       for number, (where, _) in enumerate(volumes.values())]}
    pod |= {"securityContext": pod_security} if pod_security else {}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"backoffLimit": 3, "podFailurePolicy": FAILURE_POLICY, "template": {"spec": pod}}}


@contextlib.contextmanager
def running():
    """Builds the image, and starts registry and node while the block runs. A node that an earlier run left is ended."""
    containers.lock()
    home = FOLDER / "node"
    for script in (SCRIPT.with_name("world.sh"), SCRIPT):
        subprocess.run([script, "stop", home], check=True, stdin=subprocess.DEVNULL, timeout=300)
    shutil.rmtree(FOLDER)
    (FOLDER / "bin").mkdir(parents=True)
    containers.build()
    with containers.registry(FOLDER / "registry") as address:
        containers.image("push", containers.TAG, f"{address}/{IMAGE.split('/', 1)[1]}")
        program = containers.call(SCRIPT, "build", timeout=3000).stdout.strip()
        environment = {"PATH": f"{FOLDER / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(FOLDER),
                       "LC_ALL": "C.UTF-8", "KUBECONFIG": str(home / "kubeconfig"), "K8S_MIRROR": address,
                       "XDG_CACHE_HOME": str(containers.CACHE.parent)}
        kubectl = FOLDER / "bin/kubectl"
        kubectl.write_text(f"#!/bin/sh\nexec '{program}' kubectl \"$@\"\n", encoding="utf-8")
        kubectl.chmod(0o755)
        try:
            with (FOLDER / "start.log").open("w", encoding="utf-8") as log:  # a file: servers would keep a pipe open
                done = subprocess.run([SCRIPT, "start", home], stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=subprocess.STDOUT, env=environment, timeout=600, check=False)
            assert done.returncode == 0, (FOLDER / "start.log").read_text(encoding="utf-8")
            yield Node(FOLDER, environment)
        finally:
            subprocess.run([SCRIPT, "stop", home], check=True, stdin=subprocess.DEVNULL, timeout=300, env=environment)
