"""The real Orbax, in three generations, each in its own pinned environment and process."""

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

import support

GENERATIONS = ("0.12.8", "0.11.8", "0.5.20")
NEWEST = GENERATIONS[0]
venv_tool = support.load(support.ROOT / "tools/venv_tool.py")


@functools.cache
def python(generation):
    """The interpreter of a generation's environment, made when it is first asked for."""
    return venv_tool.make(f"orbax-{generation}", Path(__file__).with_name(f"requirements-orbax-{generation}.txt"))


def run_script(generation, script, *arguments, timeout=600):
    """Runs one of our scripts inside a generation's environment; its failure is shown whole."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(word) for word in (python(generation), Path(__file__).parent / script, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=env)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def restore(generation, jobs):
    """The results of orbax_restore.py's jobs, in order."""
    with tempfile.TemporaryDirectory(prefix="judge-") as folder:
        asked, answered = Path(folder, "jobs.json"), Path(folder, "result.json")
        asked.write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
        run_script(generation, "orbax_restore.py", asked, answered)
        return json.loads(answered.read_text(encoding="utf-8"))["results"]


class Server:
    """A process of the newest generation that restores one job after the other: jax is imported once. TensorStore remembers what lay at a path, so a
    path must hold the same for as long as the server lives."""

    def __init__(self):
        command = [str(python(NEWEST)), str(Path(__file__).with_name("orbax_restore.py")), "--serve"]
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.DEVNULL, text=True)

    def restore(self, job):
        """The result of one job."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the reader ended with {self._process.wait()}"
        return json.loads(line)

    def stop(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


def job(path, way, rows=None, **more):
    return {"path": str(path), "way": way, "tree": {name: row[:2] for name, row in (rows or {}).items()}, **more}
