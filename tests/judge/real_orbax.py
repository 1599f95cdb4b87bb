"""The real Orbax, in three generations, each in its own pinned environment and process."""

import atexit
import functools
import json
import os
import select
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


class Server:
    """A process of a generation that runs our scripts one after the other: jax is imported once. TensorStore remembers what lay at a
    path, so a path must hold the same for as long as the process lives: what a test changes, it copies to a path of its own first."""

    def __init__(self, generation):
        self._printed = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen([str(python(generation)), str(Path(__file__).with_name("orbax_server.py"))],
                                         env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=self._printed, text=True)

    def run(self, script, *arguments, timeout):
        """{"status", "out", "err"} of a script."""
        self._process.stdin.write(json.dumps({"script": script, "arguments": [str(word) for word in arguments]}) + "\n")
        self._process.stdin.flush()
        has_answer, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if has_answer else ""
        if not line:
            self._process.kill()
            self._printed.seek(0)
            raise AssertionError(f"{script} {' '.join(map(str, arguments))}: "
                                 f"{f'the process ended with {self._process.wait()}' if has_answer else f'no answer within {timeout} s'}"
                                 f"\n{self._printed.read()[-4000:]}")
        return json.loads(line)

    def is_alive(self):
        """Whether it may be asked."""
        return self._process.poll() is None

    def stop(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._printed.close()


_servers = {}


def server(generation):
    """The process of a generation; it ends with ours."""
    if generation not in _servers or not _servers[generation].is_alive():
        _servers[generation] = Server(generation)
        atexit.register(_servers[generation].stop)
    return _servers[generation]


def run_script(generation, script, *arguments, timeout=600):
    """Runs one of our scripts inside a generation's environment; its failure is shown whole."""
    done = server(generation).run(script, *arguments, timeout=timeout)
    assert done["status"] == 0, f"{script} {' '.join(map(str, arguments))}: {done['status']}\n{done['out'][-4000:]}\n{done['err'][-4000:]}"
    return done["out"]


def restore(generation, jobs):
    """The results of orbax_restore.py's jobs, in order."""
    with tempfile.TemporaryDirectory(prefix="judge-") as folder:
        asked, answered = Path(folder, "jobs.json"), Path(folder, "result.json")
        asked.write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
        run_script(generation, "orbax_restore.py", asked, answered)
        return json.loads(answered.read_text(encoding="utf-8"))["results"]


def job(path, way, rows=None, **more):
    return {"path": str(path), "way": way, "tree": {name: row[:2] for name, row in (rows or {}).items()}, **more}
