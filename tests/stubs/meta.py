"""A strict stub of Meta's download links: one signed CloudFront address whose `*` stands for FOLDER/FILE.

It rejects HEAD, and GET without Range; it answers 400 to ranges of more than `--size-cap` bytes; and it counts downloads: each
file may be begun a few times per `--size-cap` bytes of its size, then the link is used up, as the real one is when it is
read in small ranges.
"""

import base64
import hmac
import json
import os
import threading
import time
import urllib.parse

from content import FileContent
from service import Answer, Listener, Request, Service, json_answer, options, range_of, ranged, say, serve, text_answer

KEY = os.urandom(32)
PROBE_BYTES = 1 << 20  # shorter ranges learn a size or read a small file; they are counted apart
LINK_ALPHABET = str.maketrans("+=/", "-_~")


class Meta(Service):
    """The files of a folder, by signed address."""

    name = "meta"

    def __init__(self, given):
        super().__init__()
        self.folder, self.size_cap, self.downloads = given.folder, given.size_cap, given.downloads
        self.families = given.family
        self._lock = threading.Lock()
        self.counts: dict[str, dict[str, int]] = {}

    def link(self, base: str, expires: int) -> str:
        """The address as it comes by e-mail."""
        statement = {"Statement": [{"unique_hash": "stub", "Resource": f"{base}/*", "Condition": {
            "DateLessThan": {"AWS:EpochTime": expires}}}]}
        policy = base64.b64encode(json.dumps(statement, separators=(",", ":")).encode()).decode().translate(LINK_ALPHABET)
        return f"{base}/*?Policy={policy}&Signature={signature(policy)}&Key-Pair-Id=KSTUB&Download-Request-ID=1"

    def answer(self, request: Request) -> Answer:
        if request.method == "HEAD":
            return denied("AccessDenied", "Access Denied")
        given = request.parameters
        policy = given.get("Policy", "")
        if given.get("Key-Pair-Id") != "KSTUB" or not hmac.compare_digest(given.get("Signature", ""), signature(policy)):
            return denied("AccessDenied", "Access Denied")
        statement = json.loads(base64.b64decode(policy.translate(str.maketrans("-_~", "+=/"))))["Statement"][0]
        if time.time() >= statement["Condition"]["DateLessThan"]["AWS:EpochTime"]:
            return denied("AccessDenied", "Access denied")
        name = urllib.parse.unquote(request.path).lstrip("/")
        if self.families and "/" in name and name.split("/")[0] not in self.families:
            return denied("AccessDenied", "Access denied")
        path = os.path.join(self.folder, name)
        if request.method != "GET" or ".." in name.split("/") or not os.path.isfile(path):
            return denied("AccessDenied", "Access Denied")  # CloudFront does not tell what is missing
        content = FileContent(path)
        if request.headers.get("Range") is None:
            return text_answer("Bad Request: ask for a range\n", 400)
        try:
            part = range_of(request.range, content.size) or (0, content.size)
        except ValueError:
            return ranged(request, content, [])
        if part[1] - part[0] > self.size_cap:
            return text_answer("Bad Request: more bytes than one answer may have\n", 400)
        if not self._count(name, part, content.size):
            return denied("AccessDenied", "Access denied")
        return ranged(request, content, [("Content-Type", "binary/octet-stream"), ("ETag", f'"{content.modified_ns:x}"'),
                                         ("X-Cache", "Miss from cloudfront")])

    def _count(self, name: str, part: tuple[int, int], size: int) -> bool:
        with self._lock:
            count = self.counts.setdefault(name, {"probes": 0, "downloads": 0})
            if part[1] - part[0] <= PROBE_BYTES and part[1] - part[0] < size:
                count["probes"] += 1
            else:
                count["downloads"] += 1
            allowed = self.downloads * max(1, -(-size // self.size_cap))
            return count["downloads"] <= allowed and count["probes"] <= 2 * allowed

    def control(self, request: Request, what: str) -> Answer:
        match request.method, what:
            case "GET", "counts":
                with self._lock:
                    return json_answer(self.counts)
            case "DELETE", "counts":
                with self._lock:
                    self.counts.clear()
                return Answer(204)
            case "GET", "link":  # ?expires=SECONDS from now, ?base=https://HOST
                base = request.parameters.get("base", request.base)
                return text_answer(self.link(base, int(time.time() + float(request.parameters.get("expires", 86400)))))
        return super().control(request, what)


def signature(policy: str) -> str:
    """Of the alphabet of real ones, so that a client that encodes it again is noticed."""
    digest = hmac.new(KEY, policy.encode(), "sha512").digest()
    return base64.b64encode(digest + b"~").decode().translate(LINK_ALPHABET) + "~-_"


def denied(code: str, message: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return text_answer(body, 403, kind="text/xml")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--folder", required=True, help="FOLDER/MODEL/FILE is what the link's * stands for")
    parser.add_argument("--family", action="append", default=[], metavar="MODEL", help="the models this link covers; none: all")
    parser.add_argument("--size-cap", type=int, default=27_000_000_000, metavar="BYTES", help="most bytes of one answer")
    parser.add_argument("--downloads", type=int, default=3, help="how often each size cap of a file may be asked for")
    parser.add_argument("--expires", type=float, default=86400, metavar="SECONDS", help="life of the link that is printed")
    given = parser.parse_args()
    service = Meta(given)
    listener = Listener(service, given.port)
    say(f"link {service.link(f'http://127.0.0.1:{listener.port}', int(time.time() + given.expires))}")
    serve(listener, given.tls)


if __name__ == "__main__":
    main()
