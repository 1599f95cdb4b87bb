#!/usr/bin/env python3
"""Proves on your own bucket, and on the real hub, what the tests prove on stand-ins. `./dev test live` runs it.

usage: CKPT_LIVE_BUCKET=gs://BUCKET/FOLDER ./dev test live [--yes]
       CKPT_LIVE_BUCKET=gs://BUCKET/FOLDER ./dev test live --remove [--yes]     removes what killed runs left there

    CKPT_LIVE_BUCKET      where a folder of this run's own, ckpt-live-..., is made and removed; nothing else is touched
    CKPT_LIVE_REPOSITORY  what is converted from the hub (default: HuggingFaceTB/SmolLM2-135M-Instruct, 269 MB, public)
    HF_TOKEN              for the hub, where the repository needs one
    credentials           Application Default Credentials, as `ckpt` finds them; to look and to remove, the token of gcloud, or
                          GOOGLE_OAUTH_ACCESS_TOKEN. They need to list, read, create and delete objects.

It says first what it will touch, and asks. It removes what it made, also when it fails or is stopped (Ctrl-C, SIGTERM); a
bucket with soft delete or object versions keeps removed objects as long as its policy says. Each check is one line; the last
line counts them. Continuous integration has no account, so it runs this against stand-ins only: tests/remote/test_live.py.
"""

import argparse
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bucket import Bucket, BucketError

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/jetstream-pytorch/llama-3-hf"
REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"
FOLDER = "ckpt-live-"  # begins the name of every run's folder; --remove looks for it
UNSCANNED = "bf16/unscanned/checkpoints/0/items"
STATE = {".ckpt-state/report.json", ".ckpt-state/state.json"}
LARGE = ["--layers", "4", "--dim", "1024", "--heads", "8", "--kv-heads", "2", "--mlp", "2816", "--vocab", "16000"]
USAGE = 64


class CheckFailed(Exception):
    """What a check found."""


def expect(good: bool, what: str) -> None:
    if not good:
        raise CheckFailed(what)


class Live:
    """The checks. Each is one promise; those further down use what those further up made."""

    def __init__(self, program: Path, bucket: Bucket, below: str, repository: str, scratch: Path):
        self.program, self.bucket, self.below, self.scratch = program, bucket, below, scratch
        self.repository = repository
        self.large = b""  # what "api/large" holds

    def checks(self) -> list[Callable[[], None]]:
        return [self.small_object_is_written_found_and_listed, self.second_creation_is_refused,
                self.large_object_arrives_in_chunks, self.ranges_are_exact, self.overwriting_needs_the_newest_generation,
                self.list_comes_in_pages, self.removed_object_is_gone,
                self.conversion_into_the_bucket_is_the_golden, self.verify_reads_it_there,
                self.second_conversion_has_nothing_to_do, self.other_settings_are_refused, self.overwrite_replaces_it,
                self.digests_from_the_bucket_are_those_of_the_file,
                self.large_conversion_is_the_local_one, self.maxtext_in_the_bucket_is_a_source, self.hub_is_inspected,
                self.hub_is_converted_into_the_bucket, self.no_upload_is_left_unfinished]

    # How things are done.

    def ckpt(self, *arguments, status: int = 0) -> str:
        """Runs the program; returns what it printed, or the error where another status than 0 is expected."""
        done = subprocess.run([self.program, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        expect(done.returncode == status, f"ckpt {shlex.join(map(str, arguments))}: status {done.returncode}, expected "
                                          f"{status}\n{done.stdout}{done.stderr}")
        return done.stderr if status else done.stdout

    def name(self, name: str) -> str:
        return self.below + name

    def place(self, name: str) -> str:
        return f"gs://{self.bucket.name}/{self.name(name)}"

    def made(self, folder: str) -> dict[str, dict]:
        """What lies below a folder of this run, by relative name."""
        prefix = self.name(folder) + "/"
        return {name.removeprefix(prefix): told for name, told in self.bucket.objects(prefix).items()}

    def expect_bytes(self, name: str, path: Path) -> None:
        """An object holds a file's bytes."""
        told = self.bucket.stat(self.name(name))
        expect(told is not None, f"{name} is not there")
        expect(int(told["size"]) == path.stat().st_size, f"{name} has {told['size']} bytes, not {path.stat().st_size}")
        with path.open("rb") as file:
            at = 0
            while block := file.read(16 << 20):
                there = self.bucket.read(self.name(name), f"{at}-{at + len(block) - 1}", generation=told["generation"]).body
                expect(there == block, f"{name} differs from {path.name} at or behind byte {at}")
                at += len(block)

    # What the service promises, and the program builds on.

    def small_object_is_written_found_and_listed(self) -> None:
        self.bucket.put(self.name("api/small"), b"small", "0")
        told = self.bucket.stat(self.name("api/small"))
        expect(told is not None and told["size"] == "5" and "crc32c" in told, f"stat tells {told}")
        listed = self.made("api")
        expect(set(listed) == {"small"}, f"the list names {sorted(listed)}")
        expect(self.bucket.read(self.name("api/small")).body == b"small", "other bytes come back")

    def second_creation_is_refused(self) -> None:
        before = self.bucket.stat(self.name("api/small"))
        self.bucket.put(self.name("api/small"), b"other", "0", expect=(412,))
        expect(self.bucket.stat(self.name("api/small"))["generation"] == before["generation"], "it was replaced all the same")

    def large_object_arrives_in_chunks(self) -> None:
        self.large = os.urandom((20 << 20) + 123)
        told = self.bucket.put_in_chunks(self.name("api/large"), self.large)
        expect(told["size"] == str(len(self.large)), f"it has {told['size']} bytes")
        expect(self.bucket.read(self.name("api/large")).body == self.large, "other bytes come back")

    def ranges_are_exact(self) -> None:
        name, size = self.name("api/large"), len(self.large)
        generation = self.bucket.stat(name)["generation"]
        for first, last in ((0, 0), (1, 4095), ((8 << 20) - 3, (8 << 20) + 3), (size - 7, size - 1)):
            answer = self.bucket.read(name, f"{first}-{last}", expect=(206,), generation=generation)
            expect(answer.body == self.large[first:last + 1], f"bytes {first}-{last} differ")
            expect(answer.headers.get("content-range") == f"bytes {first}-{last}/{size}", f"another range was sent: {answer.headers}")
        self.bucket.read(name, f"{size}-", expect=(416,))
        self.bucket.read(name, "0-9", expect=(404,), generation=str(int(generation) + 1))

    def overwriting_needs_the_newest_generation(self) -> None:
        name = self.name("api/small")
        first = self.bucket.stat(name)["generation"]
        second = self.bucket.put(name, b"second", first).json()["generation"]
        expect(second != first, "the generation stayed")
        self.bucket.put(name, b"third", first, expect=(412,))
        expect(self.bucket.read(name).body == b"second", "other bytes come back")

    def list_comes_in_pages(self) -> None:
        for number in range(5):
            self.bucket.put(self.name(f"api/page/{number}"), b"", "0")
        pages = self.bucket.objects(self.name("api/"), page=2)
        expect(len(pages) == 7 and pages.keys() == self.bucket.objects(self.name("api/")).keys(), f"pages name {sorted(pages)}")

    def removed_object_is_gone(self) -> None:
        name = self.name("api/small")
        generation = self.bucket.stat(name)["generation"]
        self.bucket.remove(name, str(int(generation) - 1), expect=(412,))
        self.bucket.remove(name, generation, expect=(204,))
        expect(self.bucket.stat(name) is None and name not in self.bucket.objects(self.name("api/")), "it is still there")

    # What the program does with it.

    def conversion_into_the_bucket_is_the_golden(self) -> None:
        self.ckpt("convert", GOLDEN / "input", self.place("golden"), "--to", "jetstream-pytorch", "--quiet")
        self.expect_bytes("golden/model.safetensors", GOLDEN / "bf16/model.safetensors")
        expect(set(self.made("golden")) == {"model.safetensors", *STATE}, f"there is {sorted(self.made('golden'))}")

    def verify_reads_it_there(self) -> None:
        self.ckpt("verify", self.place("golden"), "--quiet")
        self.ckpt("verify", self.place("golden"), "--source", GOLDEN / "input", "--quiet")

    def second_conversion_has_nothing_to_do(self) -> None:
        before = self.made("golden")
        said = self.ckpt("convert", GOLDEN / "input", self.place("golden"), "--to", "jetstream-pytorch", "--quiet")
        expect("nothing to do" in said, said)
        expect(self.made("golden") == before, "what was there has changed")

    def other_settings_are_refused(self) -> None:
        before = self.made("golden")
        self.ckpt("convert", GOLDEN / "input", self.place("golden"), "--to", "jetstream-pytorch", "--quantize",
                  "int8_per_channel", "--quiet", status=73)
        expect(self.made("golden") == before, "what was there has changed")

    def overwrite_replaces_it(self) -> None:
        before = self.made("golden")
        self.ckpt("convert", GOLDEN / "input", self.place("golden"), "--to", "jetstream-pytorch", "--quantize",
                  "int8_per_channel", "--overwrite", "--quiet")
        after = self.made("golden")
        expect(after.keys() == before.keys() and all(after[name]["generation"] != told["generation"]
                                                     for name, told in before.items()), f"there is {after}")
        self.expect_bytes("golden/model.safetensors", GOLDEN / "int8_per_channel/model.safetensors")

    def digests_from_the_bucket_are_those_of_the_file(self) -> None:
        there, here = (json.loads(self.ckpt("inspect", f"{folder}/model.safetensors", "--digests", "--json"))["tensors"]
                       for folder in (self.place("golden"), GOLDEN / "int8_per_channel"))
        expect(there == here, "tensors or digests differ")

    def large_conversion_is_the_local_one(self) -> None:
        """Large enough for several parts side by side."""
        model, out = self.scratch / "large", self.scratch / "large-out"
        subprocess.run([sys.executable, ROOT / "tools/make_model.py", "small", model, *LARGE], check=True, stdout=subprocess.DEVNULL)
        for place in (out, self.place("large")):
            self.ckpt("convert", model, place, "--to", "jetstream-pytorch", "--quiet")
        self.expect_bytes("large/model.safetensors", out / "model.safetensors")

    def maxtext_in_the_bucket_is_a_source(self) -> None:
        self.ckpt("convert", GOLDEN / "input", self.place("maxtext"), "--to", "maxtext", "--model", "llama3-8b", "--outputs",
                  "scanned,unscanned,int8", "--quiet")
        self.ckpt("verify", self.place("maxtext"), "--quiet")
        self.ckpt("convert", self.place(f"maxtext/{UNSCANNED}"), self.place("back"), "--to", "jetstream-pytorch", "--quiet")
        local = self.scratch / "maxtext"
        self.ckpt("convert", GOLDEN / "input", local, "--to", "maxtext", "--model", "llama3-8b", "--outputs", "unscanned", "--quiet")
        self.ckpt("convert", local / UNSCANNED, self.scratch / "back", "--to", "jetstream-pytorch", "--quiet")
        self.expect_bytes("back/model.safetensors", self.scratch / "back/model.safetensors")

    def hub_is_inspected(self) -> None:
        told = json.loads(self.ckpt("inspect", self.repository, "--json"))
        expect(len(told.get("tensors", {})) > 0, "it shows no tensor")

    def hub_is_converted_into_the_bucket(self) -> None:
        self.ckpt("convert", self.repository, self.place("hub"), "--to", "jetstream-pytorch", "--quiet")
        self.ckpt("verify", self.place("hub"), "--quiet")
        expect(set(self.made("hub")) == {"model.safetensors", *STATE}, f"there is {sorted(self.made('hub'))}")

    def no_upload_is_left_unfinished(self) -> None:
        left = self.bucket.unfinished(self.below)
        if left is None:
            print("live: these credentials may not list multipart uploads, so this was not looked at")
        expect(not left, f"unfinished: {left}")


def run(live: Live) -> tuple[int, int]:
    """Runs the checks and removes what they made; returns (passed, failed)."""
    passed = failed = 0

    def count(what: str, check: Callable[[], None]) -> None:
        nonlocal passed, failed
        began = time.monotonic()
        why = ""
        try:
            check()
        except (CheckFailed, BucketError, OSError, LookupError, TypeError, ValueError, subprocess.CalledProcessError) as error:
            why = f": {type(error).__name__}: {error}" if not isinstance(error, CheckFailed) else f": {error}"
        passed, failed = passed + (not why), failed + bool(why)
        print(f"live: {what}: {'FAILED' if why else 'passed'}, {time.monotonic() - began:.1f} s{why}", flush=True)

    def clean() -> None:
        live.bucket.remove_all(live.below)
        expect(not live.bucket.objects(live.below) and not live.bucket.unfinished(live.below), "something is left")

    try:
        for check in live.checks():
            count(check.__name__.replace("_", " "), check)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing stops the removal but a kill
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        before = failed
        count("everything made here is removed", clean)
        if failed > before:
            print(f"live: remove it by hand: ./dev test live --remove, or: gcloud storage rm --recursive "
                  f"gs://{live.bucket.name}/{live.below}")
    return passed, failed


def agreed(is_sure: bool) -> bool:
    if is_sure:
        return True
    if not sys.stdin.isatty():
        print("live: nobody is there to agree; --yes agrees", file=sys.stderr)
        return False
    return input("live: go on? [y/N] ").strip().lower() in ("y", "yes")


def remove_leftovers(bucket: Bucket, folder: str, is_sure: bool) -> int:
    """--remove: the folders of runs that were killed, also of one that still runs."""
    prefix = folder + FOLDER
    names, uploads = bucket.objects(prefix), bucket.unfinished(prefix) or []
    runs = sorted({name.removeprefix(folder).split("/")[0] for name in [*names, *(name for name, _ in uploads)]})
    print(f"live: {len(names)} objects and {len(uploads)} unfinished uploads lie below gs://{bucket.name}/{prefix}*",
          *[f"  {name}" for name in runs], sep="\n")
    if not runs:
        return 0
    print("live: they will be removed; a run that is still going on elsewhere would fail")
    if not agreed(is_sure):
        return USAGE
    print(f"live: {bucket.remove_all(prefix)} removed")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "build/ckpt", help="default: build/ckpt")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--remove", action="store_true", help="only remove what killed runs left")
    arguments = parser.parse_args()
    where = re.fullmatch(r"gs://([^/]+)(?:/(.*?))?/*", os.environ.get("CKPT_LIVE_BUCKET", ""))
    if not where:
        print("live: set CKPT_LIVE_BUCKET=gs://BUCKET/FOLDER, a place where a folder may be made and removed", file=sys.stderr)
        return USAGE
    bucket, folder = Bucket(where[1]), f"{where[2]}/" if where[2] else ""
    if arguments.remove:
        try:
            return remove_leftovers(bucket, folder, arguments.yes)
        except BucketError as error:
            print(f"live: {error}", file=sys.stderr)
            return 1
    below = f"{folder}{FOLDER}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}/"
    repository = os.environ.get("CKPT_LIVE_REPOSITORY") or REPOSITORY
    print(f"live: writes to  gs://{bucket.name}/{below}  about 120 MB and the hub's model, all removed at the end\n"
          f"live: reads      {repository} of {os.environ.get('HF_ENDPOINT') or 'the Hugging Face hub'}, once"
          f"{', with HF_TOKEN' if os.environ.get('HF_TOKEN') else ''}\n"
          f"live: endpoint   {bucket.endpoint}{', without credentials' if bucket.is_emulated else ''}; requests and bytes of it "
          "are paid for by the bucket's project\n"
          "live: if this run is killed, ./dev test live --remove removes what it left", flush=True)
    if not agreed(arguments.yes):
        return USAGE
    for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT too: where it came ignored from the parent it would not stop us
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        bucket.objects(below)
    except BucketError as error:
        print(f"live: the bucket cannot be listed: {error}\n0 passed, 1 failed")
        return 1
    with tempfile.TemporaryDirectory(prefix="ckpt-live-") as scratch:
        passed, failed = run(Live(arguments.program.absolute(), bucket, below, repository, Path(scratch)))
    print(f"{passed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
