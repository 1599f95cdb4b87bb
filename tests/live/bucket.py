"""A bucket of Cloud Storage by its own APIs, with Python's standard library alone: what `live.py` looks and removes with.

The program under test has no part in this. STORAGE_EMULATOR_HOST names another endpoint, to which no credential is sent.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree
from dataclasses import dataclass

TRIES = 6
CHUNK = 8 << 20  # of a resumable upload; a multiple of 256 KiB


class BucketError(Exception):
    """A request that failed; the text says which, and what the service said."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict  # names in lower case
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """308 tells how much of a resumable upload has arrived; other redirects do not happen here."""

    def redirect_request(self, *_):
        return None


def access_token() -> str:
    """A token of the credentials that the program finds too."""
    if token := os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN", "").strip():
        return token
    if not shutil.which("gcloud"):
        raise BucketError("no access token: install gcloud and run `gcloud auth application-default login`, or set "
                          "GOOGLE_OAUTH_ACCESS_TOKEN")
    said = ""
    for words in (["auth", "application-default", "print-access-token"], ["auth", "print-access-token"]):
        done = subprocess.run(["gcloud", *words], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
        said = done.stderr.strip()
    raise BucketError(f"gcloud gives no access token: {said}")


class Bucket:
    """One bucket. Every request is tried again after 408, 429, 5xx and broken connections."""

    def __init__(self, name: str):
        self.name = name
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        self.is_emulated = bool(emulator)
        self.endpoint = (emulator if "://" in emulator else f"http://{emulator}") if emulator else "https://storage.googleapis.com"
        self.endpoint = self.endpoint.rstrip("/")
        self._token = ""
        handlers = [_Unfollowed] + ([urllib.request.ProxyHandler({})] if self.is_emulated else [])
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, method: str, path: str, query: dict | None = None, body: bytes | None = None, expect: tuple = (200,),
             **headers: str) -> Answer:
        """One request; `path` is encoded already, or a whole address. A status that is not in `expect` is an error."""
        address = path if "://" in path else self.endpoint + path
        if query:
            address += "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        said = ""
        for number in range(TRIES):
            answer, said = self._sent_once(method, address, body, headers)
            if answer and answer.status == 401 and self._token:  # it ran out: a fresh one is asked for, once
                self._token = ""
                answer, said = self._sent_once(method, address, body, headers)
            if answer and (answer.status in expect or not (answer.status in (408, 429) or answer.status >= 500)):
                break
            if number + 1 < TRIES:
                time.sleep(min(2 ** number, 20))
        if not answer:
            raise BucketError(f"{method} {urllib.parse.urlsplit(address).path}: {said}")
        if answer.status not in expect:
            raise BucketError(f"{method} {urllib.parse.urlsplit(address).path}: {answer.status} instead of "
                              f"{' or '.join(map(str, expect))}: {answer.body[:500].decode(errors='replace')}")
        return answer

    def _sent_once(self, method: str, address: str, body: bytes | None, headers: dict) -> tuple[Answer | None, str]:
        request = urllib.request.Request(address, data=body, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if body is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/octet-stream")
        if not self.is_emulated:
            self._token = self._token or access_token()
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        if project := os.environ.get("GOOGLE_CLOUD_QUOTA_PROJECT"):
            request.add_header("x-goog-user-project", project)
        try:
            with self._opener.open(request, timeout=120) as answer:
                return Answer(answer.status, _lower(answer.headers), answer.read()), ""
        except urllib.error.HTTPError as error:
            return Answer(error.code, _lower(error.headers), error.read()), ""
        except (OSError, EOFError) as error:
            return None, str(error)

    def _object(self, name: str) -> str:
        return f"/storage/v1/b/{self.name}/o/{urllib.parse.quote(name, safe='')}"

    def objects(self, prefix: str, page: int = 1000) -> dict[str, dict]:
        """{name: what the service tells} of all objects below a prefix."""
        found: dict[str, dict] = {}
        query = {"prefix": prefix, "maxResults": str(page), "fields": "nextPageToken,items(name,size,generation,crc32c)"}
        while True:
            told = self.send("GET", f"/storage/v1/b/{self.name}/o", query).json()
            found.update((item["name"], item) for item in told.get("items", []))
            if not (token := told.get("nextPageToken")):
                return found
            query["pageToken"] = token

    def stat(self, name: str) -> dict | None:
        answer = self.send("GET", self._object(name), expect=(200, 404))
        return answer.json() if answer.status == 200 else None

    def read(self, name: str, span: str = "", expect: tuple = (200, 206), **query: str) -> Answer:
        """Bytes of an object; `span` is what follows "bytes=" in a Range header."""
        ranged = {"Range": f"bytes={span}"} if span else {}
        return self.send("GET", self._object(name), {"alt": "media", **query}, expect=expect, **ranged)

    def put(self, name: str, data: bytes, generation: str, expect: tuple = (200,)) -> Answer:
        """Writes an object in one request, in place of that generation; "0": there must be none."""
        return self.send("POST", f"/upload/storage/v1/b/{self.name}/o",
                         {"uploadType": "media", "name": name, "ifGenerationMatch": generation}, data, expect)

    def put_in_chunks(self, name: str, data: bytes) -> dict:
        """Writes a new object in a resumable session."""
        begun = self.send("POST", f"/upload/storage/v1/b/{self.name}/o",
                          {"uploadType": "resumable", "name": name, "ifGenerationMatch": "0"}, b"")
        at = 0
        while True:
            end = min(at + CHUNK, len(data))
            answer = self.send("PUT", begun.headers["location"], None, data[at:end], (200, 201, 308),
                               Content_Range=f"bytes {at}-{end - 1}/{len(data)}")
            if answer.status != 308:
                return answer.json()
            arrived = answer.headers.get("range", "")
            at = int(arrived.rpartition("-")[2]) + 1 if arrived else 0

    def remove(self, name: str, generation: str | None = None, expect: tuple = (204, 404)) -> Answer:
        return self.send("DELETE", self._object(name), {"ifGenerationMatch": generation} if generation else None, None, expect)

    def unfinished(self, prefix: str) -> list[tuple[str, str]] | None:
        """(name, identifier) of multipart uploads below a prefix that nobody ended; None where that may not be asked."""
        answer = self.send("GET", f"/{self.name}", {"uploads": "", "prefix": prefix}, expect=(200, 403))
        if answer.status == 403:
            return None
        root = xml.etree.ElementTree.fromstring(answer.body)
        return [(one.findtext("{*}Key", ""), one.findtext("{*}UploadId", "")) for one in root.iter()
                if one.tag.rpartition("}")[2] == "Upload"]

    def abandon(self, name: str, identifier: str) -> None:
        """Ends a multipart upload, and removes its parts."""
        self.send("DELETE", f"/{self.name}/{urllib.parse.quote(name)}", {"uploadId": identifier}, expect=(204, 404))

    def remove_all(self, prefix: str) -> int:
        """Removes every object and unfinished upload below a prefix; tells how many there were."""
        uploads = self.unfinished(prefix) or []
        for name, identifier in uploads:
            self.abandon(name, identifier)
        names = self.objects(prefix)
        for name in names:
            self.remove(name)
        return len(uploads) + len(names)


def _lower(headers) -> dict:
    return {name.lower(): value for name, value in headers.items()}
