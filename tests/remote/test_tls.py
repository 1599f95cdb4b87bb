"""TLS as it must be: a certificate that nobody vouches for, or that names another host, ends the run at once."""

import http.server
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import support
from repositories import LLAMA31


class Ranges(http.server.BaseHTTPRequestHandler):
    """One file, in ranges."""

    protocol_version = "HTTP/1.1"
    data = b""

    def do_GET(self) -> None:
        if not self.path.startswith("/model.safetensors"):
            return self.send_error(404)
        begin, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        part = self.data[begin:end + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(self.data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(part)

    def do_HEAD(self) -> None:
        if not self.path.startswith("/model.safetensors"):
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and a key with certificates for localhost (good) and for other.example (bad)."""
    folder = tmp_path_factory.mktemp("tls")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a test CA", "-keyout", folder / "ca.key",
            "-out", folder / "ca.pem")
    for name, host in (("good", "localhost"), ("bad", "other.example")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", folder / f"{name}.key", "-out",
                folder / f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", folder / f"{name}.ext", "-out", folder / f"{name}.pem")
    return folder


@contextmanager
def server(certificates: Path, name: str) -> Iterator[str]:
    Ranges.data = next(LLAMA31.glob("*.safetensors")).read_bytes()
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"https://localhost:{listening.server_port}/model.safetensors"
    finally:
        listening.shutdown()
        listening.server_close()


def test_a_certificate_of_a_given_authority_is_good(certificates: Path):
    with server(certificates, "good") as url:
        told = support.run("inspect", url + "?sig=PLANTED", "--ca-bundle", certificates / "ca.pem", expect=0)
    assert "safetensors" in told.stdout and "PLANTED" not in told.stdout + told.stderr


@pytest.mark.parametrize("name, trusted", [("good", False), ("bad", True)], ids=["unknown-authority", "another-name"])
def test_any_other_certificate_ends_the_run_at_once(name: str, trusted: bool, certificates: Path):
    more = ["--ca-bundle", certificates / "ca.pem"] if trusted else []
    with server(certificates, name) as url:
        ran = support.run("inspect", url + "?sig=PLANTED", *more)
    support.assert_refused(ran, 69, "certificate", "--ca-bundle")
    assert ran.wall_s < 5 and "PLANTED" not in ran.stderr
