"""What the crash tests convert: a target and a place, a model with at least 40 bundles, and what an undisturbed run makes of it."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import places
import support
from places import Place

OUTPUTS = ("scanned", "unscanned", "int8")  # of MaxText
LEAST_BUNDLES = 40
PATIENCE_S = 300
MOST_TRIES = 20
LANES = 2
# No tensor but half a bundle's and a bit more: hardly two of them fit one bundle, so that 40 bundles are few bytes.
NARROW = {"layers": 16, "dim": 512, "mlp": 544, "heads": 8, "kv_heads": 2, "head_dim": 16, "vocab": 1024}


@dataclass(frozen=True)
class Target:
    """A kind of checkpoint: the words that ask for it, and by place the bundles' size, in MiB, and a model for it.

    In a bucket bundles of 10 MiB are uploads' parts, bundles of 1 MiB meet in one.
    """

    name: str
    words: tuple[str, ...]
    shapes: dict[str, tuple[int, dict]]

    @property
    def is_maxtext(self) -> bool:
        return self.name == "maxtext"

    @property
    def markers(self) -> tuple[str, ...]:
        """Names of the files that end a commit."""
        if self.is_maxtext:
            return ("manifest.ocdbt", "commit_success.txt")
        return ("config.json",) if self.name.startswith("hf") else ("model.safetensors",)


TARGETS = {target.name: target for target in (
    Target("jetstream-bf16", ("--to", "jetstream-pytorch"),
           {"file": (1, {**NARROW, "layers": 17}), "gs": (1, {**NARROW, "layers": 17})}),
    Target("jetstream-int8", ("--to", "jetstream-pytorch", "--quantize", "int8_per_channel"),
           {"file": (1, {**NARROW, "layers": 18, "mlp": 1088}), "gs": (10, {**NARROW, "layers": 14, "dim": 1024, "mlp": 5184})}),
    Target("hf-w8a8", ("--to", "hf", "--quantize", "w8a8", "--max-shard-size", "20MB"),
           {"file": (1, {**NARROW, "layers": 38}), "gs": (1, {**NARROW, "layers": 38})}),
    Target("maxtext", ("--to", "maxtext", "--outputs", ",".join(OUTPUTS)),
           {"file": (1, {**NARROW, "layers": 13}), "gs": (10, {**NARROW, "layers": 14, "mlp": 5184})}),
)}


@dataclass
class Ended:
    """How a run ended."""

    status: int  # -9 where it was killed
    output: str
    errors: str
    wall_s: float

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


@dataclass
class Whole:
    """What an undisturbed run left and took."""

    outputs: dict[str, str]
    state: set[str]
    wall_s: float
    bundles: int


@dataclass
class Case:
    """A target at a place."""

    target: Target
    place: Place
    source: str
    whole: Whole | None = None

    @property
    def name(self) -> str:
        return f"{self.target.name} to {self.place.kind}"

    def command(self, name: str, *more: str, threads: int = LANES) -> list[str]:
        words = (support.PROGRAM, "convert", self.source, self.place.uri(name), *self.target.words, "--bundle-size",
                 f"{self.target.shapes[self.place.kind][0]}MiB", "--memory", "512MiB", "--threads", threads, "--quiet", *more)
        return [str(word) for word in words]

    def start(self, name: str, *more: str, threads: int = LANES, before: tuple[str, ...] = (), env: dict | None = None,
              waits: bool = False) -> "Running":
        """Starts a run; `before` are words before the command, with `waits` it does nothing until told to go on."""
        command = [*before, *self.command(name, *more, threads=threads)]
        return Running(command, {**os.environ, **self.place.env, **(env or {})}, waits)

    def run(self, name: str, *more: str, threads: int = LANES, **how) -> Ended:
        """Lets a run end by itself."""
        with self.start(name, *more, threads=threads, **how) as running:
            return running.end()

    @contextlib.contextmanager
    def caught(self, name: str, *more: str, bundles: int = 5, **how) -> Iterator["Running"]:
        """A run that stands still with some bundles recorded and others to come, until it is told to carry on."""
        for _ in range(MOST_TRIES):
            with self.start(name, *more, **how) as running:
                while not running.is_over() and self.place.recorded(name) < bundles:
                    pass
                if not running.stand_still(0) and self.place.recorded(name) < LEAST_BUNDLES - 5:
                    yield running
                    return
            self.place.remove(name)
        raise AssertionError(f"{self.name}: no run was caught in the middle")

    def planned(self) -> dict:
        words = self.command("planned")
        words[1] = "plan"
        done = subprocess.run([*words, "--json"], capture_output=True, text=True, env={**os.environ, **self.place.env}, check=True)
        return json.loads(done.stdout)

    def measure(self) -> None:
        """Makes `whole`: an undisturbed run, whose output stays under that name."""
        ended = self.run("whole")
        assert ended.status == 0, ended
        self.whole = Whole(self.place.outputs("whole"), self.place.state("whole"), ended.wall_s, self.planned()["bundles"])
        assert self.whole.bundles >= LEAST_BUNDLES, f"{self.name}: {self.whole.bundles} bundles"

    def is_committed(self, name: str) -> bool:
        """Whether the outputs are all in place, whatever is left beside them."""
        return self.whole is not None and self.whole.outputs.items() <= self.place.outputs(name).items()

    def assert_committed_once(self, name: str, history: str) -> None:
        """What makes readers accept the outputs came to be once, however many committed."""
        markers = {path: times for path, times in self.place.times_made(name).items() if path.endswith(self.target.markers)}
        assert all(times == 1 for times in markers.values()), f"{history}: made more than once: {markers}"
        assert markers or self.place.kind == "file", f"{history}: no marker was made"

    def assert_whole(self, name: str, history: str) -> None:
        """The destination holds what an undisturbed run makes, and nothing else. `history` says how it came to be."""
        assert self.whole is not None
        made = self.place.outputs(name)
        different = sorted(path for path in made.keys() | self.whole.outputs.keys()
                           if made.get(path) != self.whole.outputs.get(path))
        assert not different, f"{history}: other bytes in {different[:20]}, {len(different)} files in all"
        left = self.place.state(name) - self.whole.state
        assert not left, f"{history}: left in the state folder: {sorted(left)[:20]}"
        assert not self.place.unfinished(name), f"{history}: unfinished uploads: {self.place.unfinished(name)}"


class Running(contextlib.AbstractContextManager):
    """A process of the program. It does not outlive the `with`."""

    def __init__(self, command: list[str], env: dict[str, str], waits: bool):
        # The shell becomes the program, so that its number is known before the first thing that the program does.
        words = ["sh", "-c", 'read -r _ && exec "$@"', "sh", *command] if waits else command
        self.command = command
        self.began = time.monotonic()
        self._process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE if waits else subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def go_on(self) -> None:
        """Ends the wait of a process that waits."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def is_over(self) -> bool:
        """Whether the process has ended; its end is left to be taken note of."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def send(self, number: int) -> None:
        # Not Popen.send_signal(): that takes note of an end, which is left to whoever asks for it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def carry_on(self) -> Ended:
        """Lets a process that stands still run to its end."""
        self.send(signal.SIGCONT)
        return self.end()

    def end(self) -> Ended:
        output, errors = self._process.communicate(timeout=PATIENCE_S)
        return Ended(self._process.returncode, output, errors, time.monotonic() - self.began)

    def stand_still(self, delay_s: float | None) -> bool:
        """Stops the process after a time, or waits for its end without taking note of it; whether it has ended."""
        until = time.monotonic() + (PATIENCE_S if delay_s is None else delay_s)
        while time.monotonic() < until:
            if self.is_over():
                return True
            time.sleep(0.001)
        assert delay_s is not None, "it does not end"
        self.send(signal.SIGSTOP)
        seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        return seen.si_code != os.CLD_STOPPED

    def kill_after(self, delay_s: float) -> Ended:
        """SIGKILL after a time; a run that is over before ends as it does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, delay_s - (time.monotonic() - self.began)))
        if self._process.poll() is None:
            self._process.kill()
        return self.end()

    def __exit__(self, *_) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def model_of(target: Target, place_kind: str) -> Path:
    """The source for a target, made when it is not there yet."""
    shape = support.make_model.Shape(**target.shapes[place_kind][1])
    name = f"crash-{shape.layers}x{shape.dim}x{shape.mlp}"
    with support.shared_folder(name) as folder:
        support.make_model.make(folder, shape, 2)
    return folder


@contextlib.contextmanager
def opened(target_name: str, place_kind: str, has_remote_source: bool = False) -> Iterator[Case]:
    """A case with its undisturbed run made. A remote source lies in the same bucket as "source"."""
    target = TARGETS[target_name]
    model = model_of(target, place_kind)
    with places.opened(place_kind, {"source": model} if has_remote_source else {}) as place:
        case = Case(target, place, place.uri("source") if has_remote_source else str(model))
        case.measure()
        yield case
