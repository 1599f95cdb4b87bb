"""What every stub of a remote service is made of: an HTTP/1.1 server, scripted faults and a log of the requests seen.

A stub derives from `Service` and answers requests; `serve` runs it as a program. Faults are applied around the answer, so a
stub knows nothing of them, but may read its own kinds from `request.fault`. README.md lists the rules.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import select
import signal
import socket
import ssl
import struct
import sys
import termios
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from content import Content, MemoryContent
from faults import Faults
from kills import Kills

PIECE = 256 << 10  # bytes that are moved at once: what the processor's caches hold
CONTROL = "/_stub/"
LONGEST_LINE = 65536


class BodyCut(Exception):
    """The request's body ended early: the client went away, or a fault says so. `partial` is what came of the last read."""

    def __init__(self, partial: bytes):
        super().__init__("the request's body was cut")
        self.partial = partial


class Refused(Exception):
    """Ends a request with this answer, from any depth of a stub."""

    def __init__(self, answer: "Answer"):
        super().__init__(f"refused: {answer.status}")
        self.answer = answer


@dataclass
class Answer:
    """A status, headers and a body: all of `body`, or the bytes [begin, end) of `content`."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    content: Content | None = None
    begin: int = 0
    end: int = 0
    is_chunked: bool = False  # Transfer-Encoding instead of a Content-Length

    def source(self) -> tuple[Content, int, int]:
        if self.content is None:
            return MemoryContent(self.body), 0, len(self.body)
        return self.content, self.begin, self.end


def json_answer(value, status: int = 200, *headers: tuple[str, str]) -> Answer:
    return Answer(status, [("Content-Type", "application/json; charset=UTF-8"), *headers], json.dumps(value).encode())


def text_answer(text: str, status: int = 200, *headers: tuple[str, str], kind: str = "text/plain") -> Answer:
    return Answer(status, [("Content-Type", kind), *headers], text.encode())


class Headers:
    """A request's headers, by name in any case."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._first: dict[str, str] = {}

    def add(self, line: bytes) -> None:
        name, _, value = line.decode("latin-1").partition(":")
        self._lines.append((name, value := value.strip()))
        self._first.setdefault(name.lower(), value)

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._first.get(name.lower(), default)

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return [value for known, value in self._lines if known.lower() == name.lower()] or default

    def items(self) -> list[tuple[str, str]]:
        return list(self._lines)

    def __getitem__(self, name: str) -> str:
        return self._first[name.lower()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._first


class Request:
    """One request: its path as it was sent (still encoded), its parameters decoded, its body read on demand."""

    def __init__(self, handler: "_Handler"):
        self.method: str = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.parameters = dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))
        self.headers = handler.headers
        self.port: int = handler.server.server_address[1]
        self.host: str = self.headers.get("Host", "")
        self.base = f"{handler.server.scheme}://{self.host or f'127.0.0.1:{self.port}'}"  # as the client calls this server
        self.fault: dict = {}
        self.entry: dict = {}
        self._handler = handler
        self._is_chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        self._left = 0 if self._is_chunked else int(self.headers.get("Content-Length") or 0)
        self._is_over = not self._is_chunked and self._left == 0
        self._read = 0

    @property
    def range(self) -> str | None:
        return None if self.fault.get("ignore_range") else self.headers.get("Range")

    @property
    def bearer(self) -> str | None:
        """The token that was sent, if any."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else None

    @property
    def body_bytes_read(self) -> int:
        return self._read

    def open_connections(self) -> int:
        return self._handler.server.connections

    def segments(self) -> list[str]:
        """The path's parts, decoded each by itself: an encoded slash does not part."""
        return [urllib.parse.unquote(part) for part in self.path.split("/")[1:]]

    def read(self, size: int) -> bytes:
        """The next `size` bytes of the body, fewer only at its end. Raises BodyCut where the connection ends first."""
        pieces: list[bytes] = []
        wanted = size
        while wanted and not self._is_over:
            limit = wanted
            if (cut := self.fault.get("cut_upload_after")) is not None:
                limit = min(limit, cut - self._read)
                if limit <= 0:
                    raise BodyCut(b"".join(pieces))
            try:
                piece = self._some(limit)
            except (OSError, ValueError):
                piece = b""
            if not piece and not self._is_over:
                raise BodyCut(b"".join(pieces))
            pieces.append(piece)
            wanted -= len(piece)
            self._read += len(piece)
            self.entry["bytes_in"] = self._read
        return b"".join(pieces)

    def _some(self, limit: int) -> bytes:
        source = self._handler.rfile
        if self._is_chunked and self._left == 0:
            self._left = int(source.readline(1024).split(b";")[0], 16)
            if self._left == 0:
                while source.readline(65536).strip():
                    pass
                self._is_over = True
                return b""
        piece = source.read1(min(limit, self._left, PIECE))
        self._left -= len(piece)
        if self._left == 0:
            if self._is_chunked and piece:
                source.readline(16)
            elif not self._is_chunked:
                self._is_over = True
        return piece

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """The body in pieces of `size` bytes, of which only the last may be shorter."""
        while piece := self.read(size):
            yield piece

    def all(self) -> bytes:
        return b"".join(self.pieces())

    def json(self) -> dict:
        """The body as a JSON object; an empty body is an empty one."""
        try:
            value = json.loads(self.all() or b"{}")
        except ValueError:
            raise Refused(json_answer({"error": {"code": 400, "message": "Parse Error"}}, 400)) from None
        if not isinstance(value, dict):
            raise Refused(json_answer({"error": {"code": 400, "message": "Parse Error"}}, 400))
        return value

    def form(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.all().decode(), keep_blank_values=True))

    def drop_body(self) -> None:
        for _ in self.pieces():
            pass


def range_of(text: str | None, size: int) -> tuple[int, int] | None:
    """[begin, end) of a Range header; None where it is to be ignored (none, several, malformed).

    Raises ValueError where nothing of it lies in an object of `size` bytes (416).
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (text or "").strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise ValueError("nothing asked for")
        return max(0, size - int(last)), size
    begin, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < begin:
        return None
    if begin >= size:
        raise ValueError("past the end")
    return begin, end


def ranged(request: Request, content: Content, headers: list[tuple[str, str]]) -> Answer:
    """All of `content`, the range of it that was asked for, or 416."""
    try:
        part = range_of(request.range, content.size)
    except ValueError:
        return text_answer("Requested range not satisfiable", 416, ("Content-Range", f"bytes */{content.size}"))
    headers = [("Accept-Ranges", "bytes"), *headers]
    if part is None:
        return Answer(200, headers, content=content, begin=0, end=content.size)
    headers.append(("Content-Range", f"bytes {part[0]}-{part[1] - 1}/{content.size}"))
    return Answer(206, headers, content=content, begin=part[0], end=part[1])


class Service:
    """A stub: answers requests, and those of the control interface that are its own."""

    name = "stub"

    def __init__(self) -> None:
        self.faults = Faults()
        self.kills = Kills()
        self._log: list[dict] = []
        self._log_lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def control(self, request: Request, what: str) -> Answer:
        """What stands behind /_stub/ and is not the faults or the log."""
        return text_answer(f"no such control: {what}\n", 404)

    def object_names(self) -> list[str]:
        """BUCKET/NAME of all objects, where the service has such."""
        return []

    def change_object(self, name: str) -> None:
        """A fault: another writer replaced an object just before this request."""
        raise NotImplementedError(f"{self.name} has no objects that change")

    def log(self, request: Request) -> None:
        sent = request.headers.get("Authorization")
        request.entry = {
            "method": request.method, "path": request.path, "query": request.query,
            "range": request.headers.get("Range"), "content_range": request.headers.get("Content-Range"),
            "host": request.host, "port": request.port, "status": None, "bytes_in": 0, "bytes_out": 0,
            "authorization": sent is not None,
            "authorization_sha256": None if sent is None else hashlib.sha256(sent.encode()).hexdigest(),
            "user_project": request.headers.get("x-goog-user-project"), "fault": sorted(request.fault),
            "at_s": round(time.monotonic(), 6)}
        with self._log_lock:
            self._log.append(request.entry)

    def requests(self) -> list[dict]:
        with self._log_lock:
            return [dict(entry) for entry in self._log]

    def controlled(self, request: Request) -> Answer:
        """The control interface."""
        what = request.path[len(CONTROL):]
        match request.method, what:
            case "POST", "faults":
                rules = json.loads(request.all())
                self.faults.add(rules)
                return json_answer({"rules": len(rules)})
            case "GET", "faults":
                return json_answer(self.faults.shown())
            case "DELETE", "faults":
                self.faults.clear()
                return Answer(204)
            case "PUT", "kill":
                self.kills.plan(json.loads(request.all()))
                return Answer(204)
            case "GET", "connections":  # without the one that asks
                return json_answer(request.open_connections() - 1)
            case "GET", "requests":
                return json_answer(self.requests())
            case "DELETE", "requests":
                with self._log_lock:
                    self._log.clear()
                return Answer(204)
        return self.control(request, what)


class _Handler(BaseHTTPRequestHandler):
    """Carries one connection's requests to the service, with the faults around its answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Listener"

    def setup(self) -> None:
        self.server.count_connections(1)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server.count_connections(-1)

    def parse_request(self) -> bool:
        """As the base class, without its parser of e-mail: that takes longer than all else of a small request."""
        words = self.raw_requestline.decode("latin-1").split()
        if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1") or words[1].startswith("//"):
            return super().parse_request()
        self.requestline = " ".join(words)
        self.command, self.path, self.request_version = words
        self.headers = Headers()
        while (line := self.rfile.readline(LONGEST_LINE + 1)).strip():
            if len(line) > LONGEST_LINE:
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return False
            self.headers.add(line)
        asked = self.headers.get("Connection", "").lower()
        self.close_connection = asked == "close" or (words[2] == "HTTP/1.0" and asked != "keep-alive")
        return self.headers.get("Expect", "").lower() != "100-continue" or self.handle_expect_100()

    def log_message(self, format, *args):  # noqa: A002 - the base class's name; the log is asked for, not printed
        pass

    def dispatch(self) -> None:
        service = self.server.service
        request = Request(self)
        is_control = request.path.startswith(CONTROL)
        try:
            is_killed_after = False
            if not is_control:
                is_killed_before, is_killed_after = service.kills.begin()
                if is_killed_before:
                    service.kills.carry_out()
                    raise BodyCut(b"")
                request.fault = service.faults.applied_to(request)
                service.log(request)
            answer = self._answered(service, request, is_control)
            if not is_control and (is_killed_after or service.kills.is_due(service.object_names)):
                service.kills.carry_out()
                raise BodyCut(b"")
            self._send(request, answer)
        except BodyCut:
            self._end(reset=True)
        except (BrokenPipeError, ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = dispatch

    def _answered(self, service: Service, request: Request, is_control: bool) -> Answer:
        fault = request.fault
        if "change_object" in fault:
            service.change_object(fault["change_object"])
        if "delay" in fault:
            time.sleep(fault["delay"])
        if fault.get("refuse"):
            raise BodyCut(b"")
        replaced = None
        if "status" in fault:
            body = fault.get("body", "")
            body = body if isinstance(body, str) else json.dumps(body)
            replaced = text_answer(body, fault["status"], *dict(fault.get("headers", {})).items())
        if replaced and not fault.get("carried_out") and "persist" not in fault:
            request.drop_body()
            return replaced
        try:
            answer = service.controlled(request) if is_control else self.server.answer(request)
        except Refused as refused:
            answer = refused.answer
        except BodyCut:
            raise
        except Exception as error:  # a defect of the stub: told to the client and to whoever reads the test's output
            print(f"{service.name}: {request.method} {request.path}: {error!r}", file=sys.stderr, flush=True)
            answer = text_answer(f"the stub failed: {error!r}\n", 501)
        request.drop_body()
        return replaced or answer

    def _send(self, request: Request, answer: Answer) -> None:
        fault = request.fault
        content, begin, end = answer.source()
        if answer.status in (204, 304):
            begin = end = 0
        with content.open() as opened:
            size = end - begin
            if "short_by" in fault and not answer.is_chunked:
                size = max(0, size - fault["short_by"])
            self._send_head(request, answer, size)
            if request.method == "HEAD":
                return
            ends_at = begin + min(size, fault.get("cut_after", size))
            stalls_at = begin + fault["stall_after"] if "stall_after" in fault else None
            flips_at = begin + fault["flip"] if "flip" in fault else None
            while begin < ends_at or begin == stalls_at:
                if begin == stalls_at:
                    time.sleep(fault.get("seconds", 60))
                    stalls_at = None
                    continue
                until = min(ends_at, begin + PIECE)
                if stalls_at is not None and begin < stalls_at < until:
                    until = stalls_at
                if answer.is_chunked:
                    self.connection.sendall(f"{until - begin:x}\r\n".encode())
                if flips_at is not None and begin <= flips_at < until:
                    piece = bytearray(content.read(begin, until))
                    piece[flips_at - begin] ^= 0xff
                    self.connection.sendall(piece)
                else:
                    content.send(self.connection, opened, begin, until)
                if answer.is_chunked:
                    self.connection.sendall(b"\r\n")
                request.entry["bytes_out"] = request.entry.get("bytes_out", 0) + until - begin
                begin = until
        if "cut_after" in fault:
            self._end(reset=not fault.get("clean"))
        elif answer.is_chunked:
            self.connection.sendall(b"0\r\n\r\n")

    def _send_head(self, request: Request, answer: Answer, size: int) -> None:
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = {308: "Resume Incomplete", 499: "Client Closed Request"}.get(answer.status, "Unknown")
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Date: {self.date_time_string()}"]
        names = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            if name.lower() == "x-goog-hash" and "hash" in request.fault:
                value = request.fault["hash"]
            if name.lower() == "content-range" and "range" in request.fault and answer.status == 206:
                value = request.fault["range"]
            lines.append(f"{name}: {value}")
        if answer.is_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif answer.status != 204 and answer.status != 304 and "content-length" not in names:
            lines.append(f"Content-Length: {size}")
        if self.close_connection:
            lines.append("Connection: close")
        request.entry["status"] = answer.status
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def _end(self, reset: bool) -> None:
        """Ends the connection in the middle; with a reset, what is under way is lost too."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            if reset:
                self._let_sent_bytes_arrive()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # The descriptor must close now: the reading file object would keep the connection open otherwise.
                self.rfile.close()
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

    def _let_sent_bytes_arrive(self) -> None:
        """A reset drops what the kernel still holds, but the rule says how many bytes the client gets."""
        for _ in range(500):
            unsent = fcntl.ioctl(self.connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            if unsent == b"\0" * 4:
                return
            time.sleep(0.01)


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class Listener(ThreadingHTTPServer):
    """One port of a stub; `answer` may be another one than the service's (a CDN beside its hub)."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, service: Service, port: int, answer=None, tls: list[str] | None = None):
        super().__init__(("127.0.0.1", port), _Handler)
        self.scheme = "https" if tls else "http"
        self._tls = [_context(*tls[at:at + 2]) for at in range(0, len(tls or ()), 2)]
        self.service = service
        self.answer = answer or service.answer
        self.port = self.server_address[1]
        self.connections = 0
        self._count_lock = threading.Lock()

    def count_connections(self, change: int) -> None:
        with self._count_lock:
            self.connections += change

    def get_request(self):
        connection, address = super().get_request()
        if self._tls:  # greeted in the connection's own thread, so that one that says nothing holds up no other
            context = self._tls[-1] if self.service.faults.is_greeted_wrongly() else self._tls[0]
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""

    def shutdown_request(self, request):
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def begin(self) -> "Listener":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


def options(description: str) -> argparse.ArgumentParser:
    """The parser that every stub starts from."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--tls", nargs="+", metavar="PEM", help="certificate and key: the same over TLS, on ports of its own; those of "
                                                                "another name behind them are for the fault other_name")
    return parser


def say(line: str) -> None:
    print(line, flush=True)


def beside(service: Service, answer, tls: list[str] | None, name: str, public: str | None) -> str:
    """Starts a second server of a stub, such as the hub's CDN, and says where it is; returns the address to send clients to."""
    listener = Listener(service, 0, answer).begin()
    say(f"{name} http://localhost:{listener.port}")
    if tls:
        say(f"{name}-tls {Listener(service, 0, answer, tls).begin().port}")
    return public or f"http://localhost:{listener.port}"


def serve(listener: Listener, tls: list[str] | None = None) -> None:
    """Says where it listens (the last line of the start), and runs until standard input closes or SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener.begin()
    if tls:
        say(f"tls {Listener(listener.service, 0, listener.answer, tls).begin().port}")
    say(f"listening on http://127.0.0.1:{listener.port}")
    descriptor = sys.stdin.fileno()
    while True:
        select.select([descriptor], [], [])
        if not os.read(descriptor, 65536):
            os._exit(0)
