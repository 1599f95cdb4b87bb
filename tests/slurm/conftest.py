"""One Slurm for all tests, a model behind a slow hub, and what a single run makes of it."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "image"), str(ROOT / "tests" / "stubs"), str(ROOT / "tools")]

import containers  # noqa: E402
import make_model  # noqa: E402
from started import started  # noqa: E402

FOLDER = ROOT / "build/slurm"
SCRIPT = Path(__file__).resolve().with_name("slurm.sh")
JOB = ROOT / "deploy/slurm/convert.sbatch"
PROGRAM = Path(os.environ.get("CKPT", ROOT / "build/ckpt")).resolve()
SHAPE = make_model.Shape(8, 512, 8, 2, 1536, 8192, 64)  # 65 MB: 44 bundles of 1 MiB
WORDS = ["--to", "maxtext", "--model", "llama3.1-8b", "--outputs", "scanned,int8", "--bundle-size", "1MiB"]
SMALL = ["--cpus-per-task=1", "--mem=320M"]


@dataclass(frozen=True)
class Slurm:
    """A running Slurm, and the environment in which jobs are submitted."""

    environment: dict
    folder: Path

    def call(self, *words, expect=0):
        """Runs a command of Slurm's; returns what it printed."""
        return containers.call(*words, expect=expect, env=self.environment, timeout=60).stdout.strip()

    def submit(self, destination, *options, program=PROGRAM):
        """The ready script on an array; returns the array's number."""
        return int(self.call("sbatch", "--parsable", f"--chdir={self.folder}", f"--export=ALL,CKPT={program}", *SMALL, *options, JOB,
                             "org/model", destination, *WORDS))

    def ended(self, job, timeout_s=120):
        """Waits for the end of an array; returns {index: "EXIT:SIGNAL"}."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            shown = self.call("scontrol", "--oneliner", "show", "job", str(job))
            # Slurm may know that a task failed, was cancelled or reached its limit before it knows with which code.
            if not re.search(r"JobState=(PENDING|RUNNING|COMPLETING|CONFIGURING)|JobState=(?!COMPLETED)\w+ .*ExitCode=0:0", shown):
                return {int(index): code for index, code in re.findall(r"ArrayTaskId=(\d+) .*?ExitCode=(\d+:\d+)", shown)}
            time.sleep(0.1)
        raise AssertionError(f"array {job} did not end within {timeout_s} s\n{shown}\n{self.logs(job)}")

    def log(self, job, index):
        """What a task has said so far."""
        path = self.folder / f"ckpt-{job}_{index}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def logs(self, job):
        """What all tasks said, by index."""
        return {int(path.stem.rsplit("_", 1)[1]): path.read_text(encoding="utf-8") for path in self.folder.glob(f"ckpt-{job}_*.log")}

    def process(self, job, index):
        """The process of a task: the script has become the program."""
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = dict(word.partition("=")[::2] for word in (place / "environ").read_text(errors="replace").split("\0"))
                is_task = (words.get("SLURM_ARRAY_JOB_ID"), words.get("SLURM_ARRAY_TASK_ID")) == (str(job), str(index))
                if is_task and Path(os.readlink(place / "exe")) == PROGRAM:
                    return int(place.name)
        raise AssertionError(f"task {index} of {job} has no process\n{self.log(job, index)}")


@pytest.fixture(scope="session", name="hub")
def _hub():
    """The model as a repository."""
    shutil.rmtree(FOLDER / "model", ignore_errors=True)
    make_model.make(FOLDER / "model", SHAPE, 1, adversarial=True)
    with started("hf", "--repo", f"org/model={FOLDER / 'model'}") as hub:
        yield hub
    shutil.rmtree(FOLDER / "model")


@pytest.fixture(scope="session", name="slurm")
def _slurm(hub):
    """A running Slurm. One that an earlier run left is ended."""
    containers.lock()
    home = FOLDER / "node"
    subprocess.run([SCRIPT, "stop", home], check=True, stdin=subprocess.DEVNULL, timeout=60)
    shutil.rmtree(home)
    jobs = FOLDER / "jobs"
    shutil.rmtree(jobs, ignore_errors=True)
    jobs.mkdir(parents=True)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(FOLDER), "LC_ALL": "C.UTF-8",
                   "SLURM_CONF": str(home / "slurm.conf"), "HF_ENDPOINT": hub.url}
    try:
        with (FOLDER / "start.log").open("w", encoding="utf-8") as log:  # a file: servers would keep a pipe open
            done = subprocess.run([SCRIPT, "start", home], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                  timeout=60, check=False)
        assert done.returncode == 0, (FOLDER / "start.log").read_text(encoding="utf-8")
        yield Slurm(environment, jobs)
    finally:
        subprocess.run([SCRIPT, "stop", home], check=True, stdin=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="session", name="limited")
def _limited(slurm):
    """A task of the ready script with a limit of a minute, begun before all tests: Slurm looks at limits twice a minute. What runs in
    it stands for the program: it waits, and says how it was told to end."""
    program = slurm.folder / "waits"
    program.write_text("#!/usr/bin/env python3\nimport signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
                       "print('waiting', flush=True)\nsignal.pause()\n", encoding="utf-8")
    program.chmod(0o755)
    return slurm.submit("nowhere", "--array=0-0", "--time=1", program=program)


@pytest.fixture(autouse=True)
def _begun_before_all_tests(limited):
    """Asks for it."""
    return limited


@pytest.fixture(scope="session", name="single")
def _single(slurm):
    """{relative path: SHA-256} of what one undisturbed run makes, and the number of its bundles."""
    out = FOLDER / "single"
    shutil.rmtree(out, ignore_errors=True)
    containers.call(PROGRAM, "convert", "org/model", out, *WORDS, "--memory", "256MiB", env=slurm.environment)
    made = containers.without_state(out)
    shutil.rmtree(out)
    return made


@pytest.fixture(name="out")
def _out(request):
    """A folder of this test's own that both nodes see."""
    out = FOLDER / "out" / request.node.name
    shutil.rmtree(out, ignore_errors=True)
    yield out
    shutil.rmtree(out, ignore_errors=True)
