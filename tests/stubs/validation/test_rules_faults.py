"""The faults and the log that every stub has, seen from outside."""

import hashlib
import http.client
import signal
import socket
import time

import pytest
from conftest import Client
from started import Stub, started

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(autouse=True)
def seeded(gcs: Stub) -> None:
    gcs.put("b/x", DATA)


def test_status_with_headers_and_body_after_skipped_requests(gcs: Stub, send: Client):
    gcs.faults([{"method": "GET", "path": "^/b/x$", "skip": 1, "times": 2, "status": 503, "headers": {"Retry-After": "7"},
                 "body": "busy"}])
    seen = [send("GET", "/b/x") for _ in range(4)]
    assert [answer.status for answer in seen] == [200, 503, 503, 200]
    assert (seen[1].headers["Retry-After"], seen[1].body) == ("7", b"busy")
    assert gcs.fault_rules()[0]["applied"] == 2
    assert [request["status"] for request in gcs.requests()] == [200, 503, 503, 200]


@pytest.mark.parametrize("count", [0, 1, 1000, 700_001])
def test_cut_delivers_exactly_so_many_bytes_and_resets(gcs: Stub, count: int):
    gcs.faults([{"path": "/b/x", "cut_after": count}])
    connection = http.client.HTTPConnection("127.0.0.1", gcs.port, timeout=30)
    connection.request("GET", "/b/x")
    answer = connection.getresponse()
    got = b""
    with pytest.raises(ConnectionError):
        while piece := answer.read1(65536):
            got += piece
    assert got == DATA[:count]
    assert gcs.requests()[-1]["bytes_out"] == count


def test_clean_cut_ends_without_a_reset(gcs: Stub, send: Client):
    gcs.faults([{"path": "/b/x", "cut_after": 10, "clean": True}])
    with pytest.raises(http.client.IncompleteRead) as cut:
        send("GET", "/b/x")
    assert cut.value.partial == DATA[:10]


def test_stall_pauses_where_it_says(gcs: Stub):
    gcs.faults([{"path": "/b/x", "stall_after": 5, "seconds": 0.5, "times": 1}])
    connection = http.client.HTTPConnection("127.0.0.1", gcs.port, timeout=30)
    connection.request("GET", "/b/x", headers={"Range": "bytes=100-119"})
    answer = connection.getresponse()
    assert answer.read(5) == DATA[100:105]
    began = time.monotonic()
    assert answer.read() == DATA[105:120]
    assert time.monotonic() - began > 0.3


def test_lies_about_ranges_and_length(gcs: Stub, send: Client):
    gcs.faults([{"path": "/b/x", "times": 1, "range": "bytes 0-9/10"}, {"path": "/b/x", "skip": 1, "times": 1, "ignore_range": True},
                {"path": "/b/x", "skip": 2, "times": 1, "short_by": 3}])
    assert send("GET", "/b/x", Range="bytes=5-9").headers["Content-Range"] == "bytes 0-9/10"
    assert (whole := send("GET", "/b/x", Range="bytes=5-9")).status == 200 and whole.body == DATA
    short = send("GET", "/b/x", Range="bytes=5-9")
    assert (short.headers["Content-Length"], short.body) == ("2", DATA[5:7])
    assert send("GET", "/b/x", Range="bytes=5-9").body == DATA[5:10]


def test_rules_combine_delay_with_status(gcs: Stub, send: Client):
    gcs.faults([{"path": "/b/x", "delay": 0.3}, {"path": "/b/x", "status": 429}])
    began = time.monotonic()
    assert send("GET", "/b/x").status == 429
    assert time.monotonic() - began >= 0.3
    gcs.clear_faults()
    assert send("GET", "/b/x").status == 200


def test_refused_connection(gcs: Stub, send: Client):
    gcs.faults([{"path": "/b/x", "times": 1, "refuse": True}])
    with pytest.raises(ConnectionError):
        send("GET", "/b/x")
    assert Client(gcs.port)("GET", "/b/x").status == 200


def test_log_tells_of_authorization_but_not_its_value(gcs: Stub, send: Client):
    send("GET", "/b/x?generation=1", Range="bytes=0-3", Authorization="Bearer secret-token")
    request = gcs.requests()[-1]
    assert (request["method"], request["path"], request["query"], request["range"]) == ("GET", "/b/x", "generation=1", "bytes=0-3")
    assert request["authorization"] is True
    assert request["authorization_sha256"] == hashlib.sha256(b"Bearer secret-token").hexdigest()
    assert "secret-token" not in str(gcs.requests())
    gcs.clear_requests()
    assert gcs.requests() == []


def test_connections_are_kept_after_refused_uploads(gcs: Stub, send: Client):
    gcs.faults([{"method": "PUT", "times": 1, "status": 500}])
    assert send("PUT", "/b/y", DATA).status == 500
    first = send.connection.sock
    assert send("PUT", "/b/y", DATA).status == 200
    assert send.connection.sock is first


def test_stub_ends_with_its_standard_input_or_on_sigterm():
    with started("gcs") as stub:
        stub.process.send_signal(signal.SIGTERM)
        assert stub.process.wait(5) == 0
    with started("gcs") as stub:
        assert stub.process.stdin is not None
        stub.process.stdin.close()
        assert stub.process.wait(5) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", stub.port))


def test_many_connections_stream_side_by_side(gcs: Stub):
    connections = [http.client.HTTPConnection("127.0.0.1", gcs.port, timeout=30) for _ in range(64)]
    for connection in connections:
        connection.request("GET", "/b/x")
    assert all(connection.getresponse().read() == DATA for connection in connections)
