#!/usr/bin/env python3
"""Runs the test suite in stages, tells the time of each, and ends with one line that counts: "N passed, N failed".

usage: tools/run_tests.py [quick | STAGE...] [--without cluster] [--fuzz-seconds N] [--kills N] [--soak-minutes N] [--write-goldens]

    build   the program and all tests, release settings
    unit    pure functions, each in milliseconds                golden  bytes of the original tools
    store   one suite that every store must pass
    stubs   the stand-ins of remote services, judged by the official clients (Python; tests/stubs/validation)
    asan    unit, golden and store under AddressSanitizer and UBSan, and the program on hostile files
    tsan    everything that has threads under ThreadSanitizer, and the program with more threads than cores
    fuzz    some seconds of each fuzz target                    lint    tools/lint.py, all but clang-tidy
    judge   the formats' real readers, a forward pass, budgets, conversions between remote stores (Python; tests/judge,
            tests/entrypoint, tests/remote)
    crash   runs that are killed and go on, for each target and store: --kills N at random, and one at every step of the commit
            (Python; tests/crash)
    image   the container image; needs root                     cluster Jobs on a real one-node Kubernetes; needs root
    slurm   arrays on a real Slurm of two nodes; needs root

image, slurm and cluster, one after the other, run beside the stages behind build. --without cluster leaves them out, as they need root and more
packages; the last line then says so.

Only when named: soak (./dev soak), and full, the real transformers, compressed-tensors and llm-compressor on quantized outputs
(./dev judge full; Python, several GB; tests/full). --write-goldens: what they say becomes what the stage judge compares with.

Nothing may be skipped: a skipped test, a stage that cannot run and a stage that finds no test count as failed.
Output of the stages lies in build/test-logs; the end of it is printed where a stage fails.
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections.abc import Callable, Iterator

import lint
import venv_tool
from tree import ROOT

BUILD = ROOT / "build"
LOGS = BUILD / "test-logs"
CORES = str(os.cpu_count() or 2)
# Of the stages in Python, which wait for disks and servers a good part of their time; each may hold some GB.
WORKERS = str(min(4, (os.cpu_count() or 2) + 1))
# The test programs whose code has threads; the others would only repeat under ThreadSanitizer what AddressSanitizer saw.
THREADED = re.compile(r"((unit_base|unit_run|unit_cli|store|golden)\w*|unit_source)_test")
SHARDS = 4  # processes for each test program: a long one does not run alone at the end
ROOTED = ("image", "slurm", "cluster", "soak")  # stages that need root
ASKED = ("soak", "full")  # stages that only run when they are named
MEMORY = pathlib.Path("/dev/shm")  # a file system in memory
MEMORY_BYTES = 12 << 30  # that must be free there; the tests of a stage leave up to 5 GB at one time
SHOWN_LINES = 80  # of the log of a stage that failed


class StageFailed(Exception):
    """A stage could not do its work; the text says why."""


class Stage:
    """One stage's log and counts."""

    def __init__(self, name: str):
        self.log = LOGS / f"{name}.log"
        self.log.write_text("")
        self.passed = 0
        self.failed = 0
        self.faults = []  # what failed, with the end of what it said
        self.said = []  # counts to be shown

    def run(self, *command, must: bool = True, env: dict | None = None, timeout_s: int = 1800,
            own_log: pathlib.Path | None = None) -> int:
        """Runs a command into the stage's log, or one of its own. With `must`, a status other than 0 ends the stage."""
        with (own_log or self.log).open("a") as log:
            print("$", *command, file=log, flush=True)
            try:
                status = subprocess.run([str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, check=False,
                                        timeout=timeout_s).returncode
            except subprocess.TimeoutExpired:
                raise StageFailed(f"{command[0]} ran longer than {timeout_s} s") from None
        if must and status:
            raise StageFailed(f"{command[0]} ended with status {status}")
        return status

    def note(self, text: str) -> None:
        """A line for the log."""
        with self.log.open("a") as log:
            print(text, file=log)

    def count(self, what: str, good: bool) -> None:
        """One test's verdict."""
        self.passed += good
        self.failed += not good
        if not good:
            self.faults.append(f"FAILED: {what}")
            self.note(self.faults[-1])

    def told(self, report: pathlib.Path, mark: str) -> list[str]:
        """The lines that the tests of a JUnit report printed and that begin with a mark."""
        printed = [child.text or "" for child in xml.etree.ElementTree.parse(report).iter("system-out")]
        return [line for text in printed for line in text.splitlines() if line.startswith(mark)]

    def count_junit(self, report: pathlib.Path, is_part: bool = False) -> None:
        """Adds the verdicts of a JUnit report; skipped counts as failed. A part of several may be without tests."""
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
        if not cases and not is_part:
            raise StageFailed("no test was found")
        for case in cases:
            bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
            good = not bad and case.get("status", "run") == "run"
            said = [text for child in case if child.tag in ("failure", "error", "skipped") for text in (child.text or "").splitlines()]
            name = f"{case.get('classname', '')}.{case.get('name')}"
            self.count("\n  ".join([f"{name}: {bad or case.get('status')}", *said[-SHOWN_LINES // 2:]]), good)


def configure(stage: Stage, preset: str, *settings: str) -> None:
    no_ccache = [] if shutil.which("ccache") else ["-DCMAKE_CXX_COMPILER_LAUNCHER="]
    stage.run("cmake", "--preset", preset, *no_ccache, *settings)


def fixed_addresses() -> list[str]:
    """A prefix for programs under a sanitizer: GCC 12's die at start where the kernel spreads addresses widely
    (vm.mmap_rnd_bits above 28). Empty where the system does not allow it."""
    return ["setarch", "-R"] if subprocess.run(["setarch", "-R", "true"], check=False).returncode == 0 else []


def gtests(stage: Stage, preset: str, labels: tuple[str, ...], targets: set[str] | None = None, env: dict | None = None) -> None:
    """Runs the test programs of some labels (the first word of a name), each in few processes: one per test, as ctest has it,
    costs more than the tests under a sanitizer. A process that dies counts as one failed test and says which it ran."""
    programs = sorted(path for path in (BUILD / preset / "tests").rglob("*_test") if path.is_file() and path.name.startswith(labels)
                      and (targets is None or path.name in targets))
    if not programs:
        raise StageFailed("no test program was built")
    fixed = fixed_addresses() if env else []
    cpus = queue.SimpleQueue()
    for cpu in itertools.islice(itertools.cycle(sorted(os.sched_getaffinity(0))), int(CORES)):
        cpus.put(cpu)
    reports = LOGS / stage.log.stem
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()

    def run(program: pathlib.Path, shard: int) -> tuple[str, pathlib.Path, pathlib.Path, int]:
        name = f"{program.name}-{shard}"
        report, log = reports / f"{name}.xml", reports / f"{name}.log"
        spread = {"GTEST_TOTAL_SHARDS": str(SHARDS), "GTEST_SHARD_INDEX": str(shard), "GTEST_OUTPUT": f"xml:{report}"}
        status = stage.run(*fixed, program, must=False, env={**(env or {}), **spread}, own_log=log)
        return name, report, log, status

    def keep_to_a_processor() -> None:
        """Of the thread, and so of the processes that it starts."""
        if env:
            os.sched_setaffinity(0, {cpus.get()})

    # A sanitizer's shadow pages are mapped at a read and copied at a write. Where a process's threads have several processors, each of that
    # must be told to the others: half the time under ThreadSanitizer, which finds races without their happening. Conversions by the
    # whole program (run_program) have all processors.
    with concurrent.futures.ThreadPoolExecutor(int(CORES), initializer=keep_to_a_processor) as pool:
        begun = [pool.submit(run, program, shard) for shard in range(SHARDS) for program in programs]
    for name, report, log, status in (one.result() for one in begun):
        failed = stage.failed
        if report.exists():
            stage.count_junit(report, is_part=True)
        if status and stage.failed == failed:  # it died, or ended badly behind its last test
            end = log.read_text(errors="replace").splitlines()[-SHOWN_LINES // 2:]
            stage.count("\n  ".join([f"{name} ended with status {status}", *end]), False)
    if stage.passed + stage.failed == 0:
        raise StageFailed("no test was found")


def run_program(stage: Stage, preset: str, env: dict) -> None:
    """The program itself, under a sanitizer: files that must be refused, and each conversion of a golden model."""
    program = [*fixed_addresses(), BUILD / preset / "src/cli/ckpt"]
    golden = ROOT / "tests/golden"

    def inspect(name: str, verdict: str) -> tuple[str, bool]:
        status = stage.run(*program, "inspect", golden / "sources" / name, must=False, env=env, timeout_s=120)
        return f"inspect {name} ended with {status}", status in ((0,) if verdict.startswith("ok") else (65, 66))

    def pytorch(kind: str) -> tuple[str, bool]:
        with tempfile.TemporaryDirectory(dir=BUILD) as out:
            quantize = [] if kind == "bf16" else ["--quantize", kind]
            source = golden / "jetstream-pytorch/llama-3-hf/input"
            status = stage.run(*program, "convert", source, out + "/out", "--to", "jetstream-pytorch", *quantize,
                               "--threads", "5", "--bundle-size", "1MiB", must=False, env=env, timeout_s=300)
            made = pathlib.Path(out, "out/model.safetensors")
            wanted = golden / f"jetstream-pytorch/llama-3-hf/{kind}/model.safetensors"
            return (f"convert to {kind} ended with {status}, or its bytes differ",
                    status == 0 and made.exists() and made.read_bytes() == wanted.read_bytes())

    def maxtext(flags: list[str]) -> tuple[str, bool]:
        with tempfile.TemporaryDirectory(dir=BUILD) as out:
            source = golden / "maxtext/llama3.1/hf"
            made = stage.run(*program, "convert", source, out + "/out", "--to", "maxtext", "--model", "llama3.1-8b",
                             "--outputs", "scanned,unscanned,int8,int4w,fp8", "--threads", "5", "--bundle-size", "1MiB",
                             *flags, must=False, env=env, timeout_s=300)
            held = stage.run(*program, "verify", out + "/out", must=False, env=env, timeout_s=300)
            return f"convert to MaxText {flags} ended with {made}, verify with {held}", made == held == 0

    expected = json.loads((golden / "sources/expected.json").read_text())["files"]
    bad = {name: entry["verdict"] for name, entry in expected.items() if re.match("bad/(st|gguf|index)_", name)}
    with concurrent.futures.ThreadPoolExecutor(int(CORES)) as pool:
        begun = [pool.submit(maxtext, flags) for flags in ([], ["--compression", "zstd:1"], ["--orbax-layout", "pathways"])]
        begun += [pool.submit(pytorch, kind) for kind in
                  ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")]
        begun += [pool.submit(inspect, name, verdict) for name, verdict in sorted(bad.items())]
        for one in begun:
            stage.count(*one.result())


def build(stage: Stage) -> None:
    configure(stage, "release", "-DCKPT_TESTS=ON")
    stage.run("cmake", "--build", BUILD / "release")
    for name in ("ckpt", "checkpoint_entrypoint.sh", "checkpoint_converter.sh"):
        link = BUILD / name
        link.unlink(missing_ok=True)
        link.symlink_to("release/src/cli/ckpt")
    stage.count("build", True)


def asan(stage: Stage) -> None:
    env = {"ASAN_OPTIONS": "detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    configure(stage, "asan")
    stage.run("cmake", "--build", BUILD / "asan")
    gtests(stage, "asan", ("unit", "golden", "store"), env=env)
    run_program(stage, "asan", env)


def tsan(stage: Stage) -> None:
    env = {"TSAN_OPTIONS": "halt_on_error=1 second_deadlock_stack=1"}
    configure(stage, "tsan")
    known = subprocess.run(["ninja", "-C", BUILD / "tsan", "-t", "targets", "all"], check=True, capture_output=True,
                           text=True)
    targets = {line.split(":")[0] for line in known.stdout.splitlines() if line.endswith(": phony")}
    threaded = {target for target in targets if THREADED.fullmatch(target)}
    stage.run("cmake", "--build", BUILD / "tsan", "--target", "ckpt", *sorted(threaded))
    gtests(stage, "tsan", ("unit", "golden", "store"), threaded, env)
    run_program(stage, "tsan", env)


def fuzz(stage: Stage, seconds: int) -> None:
    configure(stage, "asan")
    stage.run("cmake", "--build", BUILD / "asan", "--target", "tests/fuzz/all")
    folder = BUILD / "asan/tests/fuzz"
    targets = sorted(path for path in folder.glob("*") if path.is_file() and os.access(path, os.X_OK))
    if not targets:
        raise StageFailed("no fuzz target was built")

    def run(target: pathlib.Path) -> int:
        seeds = folder / "corpus" / target.name.removeprefix("fuzz_")
        corpus = BUILD / "fuzz/corpus" / target.name
        corpus.mkdir(parents=True, exist_ok=True)
        (BUILD / "fuzz/crashers" / target.name).mkdir(parents=True, exist_ok=True)
        return stage.run(target, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1",
                         f"-artifact_prefix={BUILD / 'fuzz/crashers' / target.name}/", corpus,
                         *([seeds] if seeds.is_dir() else []), must=False, timeout_s=seconds + 300,
                         own_log=LOGS / f"{target.name}.log")

    for target in targets:
        (LOGS / f"{target.name}.log").write_text("")
    with concurrent.futures.ThreadPoolExecutor(int(CORES)) as pool:
        for target, status in zip(targets, pool.map(run, targets), strict=True):
            end = (LOGS / f"{target.name}.log").read_text(errors="replace").splitlines()[-SHOWN_LINES // 2:] if status else []
            stage.count("\n  ".join([f"{target.name} ended with {status}; the input is in build/fuzz/crashers/{target.name}",
                                     *end]), status == 0)


@contextlib.contextmanager
def small_files_folder() -> Iterator[pathlib.Path]:
    """For what tests write where it does not matter: in memory, where nothing waits for a disk, if there is room."""
    known = dict(re.findall(r"^(\w+):\s+(\d+) kB$", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE))
    is_roomy = int(known.get("MemAvailable", 0)) << 10 > MEMORY_BYTES and os.access(MEMORY, os.W_OK) and \
        shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    with tempfile.TemporaryDirectory(prefix="ckpt-test-", dir=MEMORY if is_roomy else None) as folder:
        yield pathlib.Path(folder)


def pytest(stage: Stage, *arguments: str, venv: str = "judge", env: dict | None = None, timeout_s: int = 3600) -> None:
    python = venv_tool.make(venv, ROOT / f"tests/{venv}/requirements.txt")
    report = LOGS / f"{stage.log.stem}.xml"
    report.unlink(missing_ok=True)
    with small_files_folder() as folder:
        stage.run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=10", f"--junitxml={report}",
                  f"--basetemp={folder / 'pytest'}", "-o", "tmp_path_retention_policy=failed", *arguments,
                  must=False, env=env, timeout_s=timeout_s)
    if not report.exists():
        raise StageFailed("pytest left no report")
    stage.count_junit(report)


def stubs(stage: Stage) -> None:
    # Whole files go to the workers: of the Kaggle client's tests each needs the one port that this client knows, 7777.
    pytest(stage, "-n", WORKERS, "--dist", "loadfile", "tests/stubs/validation", venv="stubs")


def judge(stage: Stage) -> None:
    folders = [f"tests/{name}" for name in ("judge", "entrypoint", "remote") if (ROOT / "tests" / name).is_dir()]
    # Whole files go to the workers, as the tests of a file share what is dear to make.
    # OpenBLAS's idle threads spin: on a busy machine they take longer than the work they wait for.
    # In the order of tests/judge/conftest.py.
    pytest(stage, "-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder", *folders,
           env={"CKPT": str(BUILD / "ckpt"), "OPENBLAS_NUM_THREADS": "1"})


def crash(stage: Stage, kills: int) -> None:
    # One test after the other goes to whichever worker is free: their times differ by far.
    pytest(stage, "-n", WORKERS, "--dist", "load", "--maxschedchunk", "1", "-o", "junit_logging=system-out", "tests/crash",
           env={"CKPT": str(BUILD / "ckpt"), "OPENBLAS_NUM_THREADS": "1", "CKPT_CRASH_KILLS": str(kills)}, timeout_s=36000)
    stage.said += [f"test: {line}" for line in stage.told(LOGS / "crash.xml", "crash: ")]


def full(stage: Stage, write_goldens: bool) -> None:
    pytest(stage, "-o", "junit_logging=system-out", *(["--write-goldens"] if write_goldens else []), "tests/full", venv="full",
           env={"CKPT": str(BUILD / "ckpt"), "OPENBLAS_NUM_THREADS": "1"})
    stage.said += [f"test: {line}" for line in stage.told(LOGS / "full.xml", "full: ")]


def why_not_rooted() -> str:
    """Why this machine cannot run the stages of ROOTED; empty when it can."""
    if os.geteuid() != 0:
        return "this is not root"
    if subprocess.run(["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/tmp"],
                      capture_output=True, check=False).returncode:
        return "root may not mount here"
    status = subprocess.run([ROOT / "tools/setup.sh", "cluster"], stdin=subprocess.DEVNULL, check=False).returncode
    return f"their packages cannot be installed (tools/setup.sh cluster: status {status})" if status else ""


def rooted(stage: Stage, tests: str = "", soak_minutes: float = 1) -> None:
    """A stage that needs root, starts servers and mounts; afterwards nothing of that may be left. `tests`: below tests/, if not all."""
    if why := why_not_rooted():
        raise StageFailed(f"{why}; --without cluster leaves out {' and '.join(ROOTED)}")
    name = tests.partition("/")[0] or stage.log.stem
    try:
        pytest(stage, "-o", "junit_logging=system-out", f"tests/{tests or name}", timeout_s=5400 + int(soak_minutes * 60),
               env={"CKPT": str(BUILD / "ckpt"), "CKPT_SOAK_MINUTES": str(soak_minutes)})
        stage.said += [f"test: {line}" for line in stage.told(LOGS / f"{stage.log.stem}.xml", "soak: ")]
    finally:
        stop = {"cluster": ("tools/world.sh", "tools/cluster.sh"), "slurm": ("tests/slurm/slurm.sh",)}
        for script in stop.get(name, ()):  # nodes that the tests could not stop themselves
            stage.run(ROOT / script, "stop", BUILD / name / "node", must=False)
        left = stage.run(sys.executable, "tests/cluster/leftovers.py", must=False)
        stage.count("something is left running or mounted", left == 0)


def run_lint(stage: Stage) -> None:
    good, bad = lint.run(with_tidy=False)
    stage.passed, stage.failed = good, bad


def run_stage(name: str, stage_of: Callable[[Stage], None]) -> Stage:
    """A stage that has run. All that it says is printed in one go, as stages run side by side."""
    print(f"test: {name} ...", flush=True)
    start = time.monotonic()
    stage = Stage(name)
    why = ""
    try:
        stage_of(stage)
    except (StageFailed, OSError, subprocess.SubprocessError, xml.etree.ElementTree.ParseError) as error:
        why = f"; it could not go on: {error}"
        stage.failed += 1
    lines = stage.said
    if stage.failed:
        end = stage.log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
        lines = [*(end if why or not stage.faults else stage.faults), *lines]
    lines.append(f"test: {name}: {stage.passed} passed, {stage.failed} failed, {time.monotonic() - start:.1f} s{why}")
    print("\n".join(lines), flush=True)
    if why:
        stage.faults.append(f"FAILED: {why[2:]}")
    return stage


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*")
    parser.add_argument("--without", choices=["cluster"])
    parser.add_argument("--fuzz-seconds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--soak-minutes", type=float, default=1)
    parser.add_argument("--write-goldens", action="store_true")
    arguments = parser.parse_args()
    stages = {
        "build": build,
        "unit": lambda stage: gtests(stage, "release", ("unit",)),
        "golden": lambda stage: gtests(stage, "release", ("golden",)),
        "store": lambda stage: gtests(stage, "release", ("store",)),
        "stubs": stubs,
        "asan": asan,
        "tsan": tsan,
        "fuzz": lambda stage: fuzz(stage, arguments.fuzz_seconds),
        "judge": judge,
        "crash": lambda stage: crash(stage, arguments.kills),
        "lint": run_lint,
        "image": rooted,
        "slurm": rooted,
        "cluster": rooted,
        "soak": lambda stage: rooted(stage, "cluster/test_soak.py", arguments.soak_minutes),  # a part of cluster
        "full": lambda stage: full(stage, arguments.write_goldens),
    }
    chosen = arguments.stages or [name for name in stages if name not in ASKED]
    if chosen == ["quick"]:
        chosen = ["build", "unit", "golden"]
    if unknown := [name for name in chosen if name not in stages]:
        parser.error(f"unknown: {' '.join(unknown)}; the stages are: quick {' '.join(stages)}")

    left_out = [name for name in chosen if arguments.without and name in ROOTED]
    chosen = [name for name in chosen if name not in left_out]
    if not chosen:
        parser.error("nothing is left to test")
    if needing := [name for name in chosen if name in ROOTED]:
        print(f"test: {' and '.join(needing)}: need root and the packages of tools/setup.sh cluster (no service of them is "
              "started); --without cluster leaves them out", flush=True)

    venv_tool.keep_compiled()
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    ran = {}

    def run(names: list[str]) -> None:
        for name in names:
            ran[name] = run_stage(name, stages[name])

    # The later stages would test an older program.
    first = [name for name in chosen if name == "build"]
    run(first)
    if not any(stage.failed for stage in ran.values()):
        # Those that need root mostly wait for pods: they run beside the others, one after the other.
        aside = [name for name in chosen if name in ROOTED]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for track in [pool.submit(run, names) for names in
                          (aside, [name for name in chosen if name not in (*first, *aside)])]:
                track.result()
    passed, failed = sum(stage.passed for stage in ran.values()), sum(stage.failed for stage in ran.values())
    for name, stage in ran.items():  # once more, by name: of a long log often only the end is kept
        for fault in stage.faults:
            print(f"test: {name}: {fault.splitlines()[0]}")
    print(f"test: {time.monotonic() - began:.0f} s in all, logs in {LOGS.relative_to(ROOT)}")
    if left_out:
        print(f"test: left out: {' and '.join(left_out)}")
    print(f"{passed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
