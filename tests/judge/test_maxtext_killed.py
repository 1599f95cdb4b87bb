"""A run that is killed before its commit leaves nothing that any generation of real Orbax takes for a checkpoint."""

import random
import shutil
import signal
import subprocess
import time

import pytest

import maxtext_reference
import real_orbax
import support
from llama import load_hf

DIMS = {"layers": 3, "dim": 1024, "heads": 8, "kv_heads": 2, "mlp": 2816, "vocab": 4096, "head_dim": 128}
OUTPUTS = ("scanned", "unscanned", "int8")
KILLS = 12
MOST_TRIES = 200
COMMIT_KILLS = 8  # as soon as one of these files is seen, in turn: the short time in which a commit goes on
COMMIT_FILES = ("_METADATA", "checkpoint", "manifest.ocdbt", "commit_success.txt")
# Small bundles, one thread: long enough to be caught anywhere.
SLOW = ["--bundle-size", "1MiB", "--threads", "1", "--io", "buffered", "--memory", "128MiB", "--quiet"]
STEP_ROOTS = {"scanned": "bf16/scanned", "unscanned": "bf16/unscanned/checkpoints"}


def command(source, folder):
    return [str(word) for word in (support.PROGRAM, "convert", source, folder, "--to", "maxtext", "--outputs",
                                   ",".join(OUTPUTS), *SLOW)]


def wait_for(folder, name):
    """Returns as soon as a file of that name is anywhere below a folder."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if any(folder.rglob(name)):
                return
        except FileNotFoundError:  # renamed while it was looked at
            continue


class Killed:
    """Folders of runs that were killed, and the source's reference."""

    def __init__(self, folder, source):
        self.source, self.folders = source, []
        began = time.monotonic()
        subprocess.run(command(source, folder / "whole"), check=True, capture_output=True)
        whole_s = time.monotonic() - began
        moments = random.Random(7)
        tries = 0
        while len(self.folders) < KILLS:
            tries += 1
            assert tries <= MOST_TRIES, f"{len(self.folders)} kills came before the commit in {tries} tries"
            delay_s = moments.uniform(0, whole_s)
            self._kill(folder / f"killed-{tries}", lambda out, delay_s=delay_s: time.sleep(delay_s))
        self.caught = 0
        for number in range(COMMIT_KILLS):
            name = COMMIT_FILES[number % len(COMMIT_FILES)]
            self.caught += self._kill(folder / f"committing-{number}", lambda out, name=name: wait_for(out, name))
        self.whole, self.began = folder / "whole", sum(out.exists() for out in self.folders)
        print(f"{KILLS} kills in {tries} tries of a run of {whole_s:.2f} s, {self.caught} more inside the commit; "
              f"{self.began} had made files")

    def _kill(self, out, wait):
        """Starts a run, waits, kills it. True, and the folder is kept, where that came before the last output's commit."""
        with subprocess.Popen(command(self.source, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait(out)
            process.kill()
        if process.returncode == -signal.SIGKILL and not all(support.items(out, name).exists() for name in OUTPUTS):
            self.folders.append(out)
            return True
        shutil.rmtree(out, ignore_errors=True)
        return False


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """(source folder, {output: rows})."""
    folder = tmp_path_factory.mktemp("source")
    support.small(folder, adversarial=False, **DIMS)
    source = load_hf(folder)
    bf16 = maxtext_reference.unscanned(source, False)
    leaves = {"scanned": maxtext_reference.scanned(source, False), "unscanned": bf16,
              "int8": maxtext_reference.quantized(bf16, "int8")}
    return folder, {name: maxtext_reference.rows(tree) for name, tree in leaves.items()}


@pytest.fixture(scope="module")
def killed(rows, program):
    folder = support.DATA / "run-killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield Killed(folder, rows[0])
    shutil.rmtree(folder, ignore_errors=True)


def checkpoints_below(folder):
    """Folders that a person could name to a reader: those with an Orbax file in them, whatever their name."""
    names = ("_METADATA", "manifest.ocdbt", "_CHECKPOINT_METADATA", "checkpoint")
    return sorted({path.parent for name in names for path in folder.rglob(name)})


def test_most_kills_came_in_the_middle(killed):
    assert killed.began >= KILLS // 2
    assert killed.caught >= 1


@pytest.mark.parametrize("generation", real_orbax.GENERATIONS)
def test_no_generation_accepts_a_killed_run(generation, killed, rows):
    """Nothing at an output's path unless it is whole; no step listed; other folders refuse or are whole."""
    jobs, meanings = [], []
    for out in killed.folders:
        for name in OUTPUTS:
            path = support.items(out, name)
            jobs.append(real_orbax.job(path, "args", rows[1][name]))
            meanings.append(("whole" if path.exists() else "refused", name))
            root = out / STEP_ROOTS.get(name, "-")
            if root.exists():
                jobs.append(real_orbax.job(root, "steps"))
                meanings.append(("steps", [0] if path.exists() else []))
        finals = {support.items(out, name) for name in OUTPUTS} | {support.items(out, name).parent for name in STEP_ROOTS}
        for path in checkpoints_below(out):
            if path not in finals:
                jobs.append(real_orbax.job(path, "whole"))
                meanings.append(("unnamed", None))
    results = real_orbax.restore(generation, jobs)
    counts = {}
    for job, (meaning, about), result in zip(jobs, meanings, results, strict=True):
        counts[meaning] = counts.get(meaning, 0) + 1
        if meaning == "steps":
            assert result.get("steps") == about, job
        elif meaning == "refused" or (meaning == "unnamed" and "error" in result):
            assert "error" in result, f"{job['path']} was restored"
        else:
            assert "error" not in result, (job, result)
            wanted = [{path: row for path, row in tree.items() if path != "step" or meaning == "unnamed"}
                      for tree in rows[1].values()]
            assert result["leaves"] in wanted, job
    print(f"{generation}: {counts}")
    assert counts["refused"] >= KILLS


def test_an_output_path_exists_only_after_its_commit(killed):
    for out in killed.folders:
        missing = [name for name in OUTPUTS if not support.items(out, name).exists()]
        assert missing
        for name in missing:  # nor an empty step
            path = support.items(out, name)
            assert not (path.parent if name in STEP_ROOTS else path).exists()


@pytest.mark.parametrize("generation", real_orbax.GENERATIONS)
def test_after_the_commit_every_generation_accepts_it(generation, killed, rows):
    jobs = [real_orbax.job(support.items(killed.whole, name), "args", rows[1][name]) for name in OUTPUTS]
    jobs += [real_orbax.job(killed.whole / root, "steps") for root in STEP_ROOTS.values()]
    results = real_orbax.restore(generation, jobs)
    for name, result in zip(OUTPUTS, results):
        expected = {path: row for path, row in rows[1][name].items() if path != "step"}
        assert result.get("leaves") == expected, (name, result.get("error"))
    assert [result.get("steps") for result in results[len(OUTPUTS):]] == [[0], [0]]


def test_the_next_run_succeeds_with_the_same_bytes(killed):
    expected = support.outputs_of(killed.whole)
    for out in killed.folders[:3] + killed.folders[-3:]:
        subprocess.run(command(killed.source, out), check=True, capture_output=True)
        assert support.outputs_of(out) == expected
        support.run("verify", out, expect=0)
