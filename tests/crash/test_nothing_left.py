"""A run that finds its work done ends at once with the same last lines, reads and writes next to nothing, and changes nothing."""

import os
import re
import subprocess
import urllib.parse

import pytest

import cases
import support
from test_work_lost import read_by

MOST_BYTES = 10**6
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: ")
FINAL = ("Completed unscanning checkpoint to ", "Completed quantizing model ",
         "Completed uploading converted checkpoint from local path /pt-ckpt/ to GSBucket ")


def written_by(pid: int) -> int:
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        return int(re.search(r"wchar: (\d+)", file.read())[1])


def run(case: cases.Case, command: list[str], executable: str | None = None) -> tuple[str, int, int]:
    """Standard output, bytes moved through files and pipes, and bytes moved to and from the bucket, lists left out."""
    stub = getattr(case.place, "stub", None)
    if stub:
        stub.clear_requests()
    process = subprocess.Popen(command, executable=executable, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **case.place.env})
    output, errors = process.stdout.read(), process.stderr.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    local = read_by(process.pid) + written_by(process.pid)
    process.communicate()
    assert process.returncode == 0, (output, errors)
    requests = [request for request in (stub.requests() if stub else [])
                if urllib.parse.unquote(request["path"]).rpartition("/b/")[2] != "bkt/o" or request["method"] != "GET"]
    return output, local, sum(request["bytes_in"] + request.get("bytes_out", 0) for request in requests)


def all_times(case: cases.Case, name: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in case.place.folder(name).rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["gs", "file"])
@pytest.mark.parametrize("target", list(cases.TARGETS))
def test_a_second_run_does_nothing(target: str, place: str):
    with cases.opened(target, place) as case:
        case.place.remove("whole")
        first, moved, sent = run(case, case.command("whole"))
        before = all_times(case, "whole")
        second, moved_again, sent_again = run(case, case.command("whole"))
        print(f"crash: {case.name}: the first run moved {(moved + sent) / 1e6:.1f} MB, the second {moved_again / 1e3:.0f} kB through "
              f"files and {sent_again / 1e3:.0f} kB to and from the bucket")
        assert moved_again + sent_again < MOST_BYTES < moved + sent
        assert all_times(case, "whole") == before
        assert "already" in second
        assert last_lines(second) == last_lines(first)


def last_lines(output: str) -> list[str]:
    """The lines that tell what a server must be told."""
    return [line for line in output.splitlines() if "load with" in line.lower()]


@pytest.mark.parametrize("server, kind", [("jetstream-pytorch", "int8_per_channel"), ("jetstream-maxtext", "int8")])
def test_a_second_run_of_the_containers_contract_does_nothing(server: str, kind: str):
    with cases.opened("jetstream-bf16", "gs") as case:
        words = ["checkpoint_entrypoint.sh", f"-s={server}", "-m=Llama3.1-8B", "-b=bkt", f"-i={case.source}",
                 "-o=gs://bkt/contract", "-n=llama-3.1", "-q=True", f"-t={kind}"]
        first, moved, sent = run(case, words, str(support.PROGRAM))
        before = all_times(case, "contract")
        second, moved_again, sent_again = run(case, words, str(support.PROGRAM))
        print(f"crash: contract, {server}: the first run moved {(moved + sent) / 1e6:.1f} MB, the second {moved_again / 1e3:.0f} kB "
              f"through files and {sent_again / 1e3:.0f} kB to and from the bucket")
        assert moved_again + sent_again < MOST_BYTES < moved + sent
        assert all_times(case, "contract") == before
        finals = [[STAMP.sub("", line) for line in said.splitlines() if STAMP.sub("", line).startswith(FINAL)]
                  for said in (first, second)]
        assert finals[0] and finals[0] == finals[1]
