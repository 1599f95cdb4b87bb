"""What crash tests need of the stubs: a client is killed at a chosen request, and a bucket returns to what it was."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Client
from started import Stub, started

WRITER = """
import http.client, sys
link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for name in sys.argv[2:]:
    link.request("POST", f"/upload/storage/v1/b/b/o?uploadType=media&name={name}", name)
    link.getresponse().read()
"""


@pytest.fixture(params=["memory", "folder"])
def stub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stub]:
    with started("gcs", "--bucket", "b", *(["--folder", str(tmp_path)] if request.param == "folder" else [])) as running:
        yield running


def write(stub: Stub, *names: str, **rule) -> int:
    """The status of a process that writes objects, and is killed by the rule where there is one."""
    words = ["sh", "-c", 'read -r _ && exec "$@"', "sh", sys.executable, "-c", WRITER, str(stub.port), *names]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if rule:
            stub.kill(process.pid, **rule)
        process.communicate(b"\n", timeout=60)
    stub.settle()
    return process.returncode


@pytest.mark.parametrize("rule, left", [
    ({"request": 2, "when": "before"}, ["x1"]), ({"request": 2, "when": "after"}, ["x1", "x2"]),
    ({"objects": 2, "name": "^b/x"}, ["x1", "x2"]), ({"request": 4}, ["x1", "x2", "x3"]),
], ids=["before", "after", "objects", "never"])
def test_a_client_is_killed_at_the_request_that_is_named(rule: dict, left: list[str], stub: Stub):
    stub.put("b/y", b"no object of that name")
    killed = write(stub, "x1", "x2", "x3", **rule)
    assert killed == (0 if len(left) == 3 else -signal.SIGKILL)
    assert stub.names("b") == [*left, "y"]
    stub.let_live()
    assert write(stub, "z1", "z2", "z3", "z4") == 0


def test_a_kept_bucket_is_returned_to_as_often_as_asked(stub: Stub):
    send = Client(stub.port)
    stub.put("b/changed", b"before")
    stub.put("b/removed", b"there")
    key = send("POST", "/b/joined?uploads", b"").body.split(b"<UploadId>")[1].split(b"<")[0].decode()
    tag = send("PUT", f"/b/joined?partNumber=1&uploadId={key}", b"part").headers["ETag"]
    generation = send("GET", "/storage/v1/b/b/o/changed?fields=generation").body
    send.connection.close()
    stub.keep()
    for _ in range(2):
        send = Client(stub.port)
        stub.put("b/changed", b"after")
        stub.put("b/added", b"new")
        assert send("DELETE", "/b/removed").status == 204
        named = f"<C><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></C>"
        assert send("POST", f"/b/joined?uploadId={key}", named).status == 200
        assert stub.names("b") == ["added", "changed", "joined"] and stub.get("b/joined") == b"part"
        assert stub.uploads()["multipart"] == []
        send.connection.close()
        stub.return_to_kept()
        assert stub.names("b") == ["changed", "removed"]
        assert (stub.get("b/changed"), stub.get("b/removed")) == (b"before", b"there")
        assert stub.uploads()["multipart"] == ["joined"]
        send = Client(stub.port)
        assert send("GET", "/storage/v1/b/b/o/changed?fields=generation").body == generation
        send.connection.close()


def test_all_below_a_name_is_removed_at_once(stub: Stub):
    for name in ("x/1", "x/2", "xy"):
        stub.put(f"b/{name}", b"")
    Client(stub.port)("POST", "/b/x/3?uploads", b"")
    stub.control("DELETE", "below/b/x/")
    assert stub.names("b") == ["xy"]
    assert json.loads(stub.control("GET", "uploads"))["multipart"] == []
