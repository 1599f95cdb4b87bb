"""A strict stub of the Hugging Face Hub: repositories are folders, large files are redirected to a CDN on another origin.

The hub speaks on 127.0.0.1, the CDN on another port of "localhost"; a request to the CDN that carries Authorization is
refused and shows in the log, as a client must not send the hub's token there.
"""

import hashlib
import hmac
import os
import re
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

from content import FileContent
from service import Answer, Listener, Refused, Request, Service, beside, json_answer, options, ranged, serve, text_answer

SHA256_LIMIT = 4 << 30  # larger (sparse) files get a digest that only names them
KEY = os.urandom(32)  # of this run's signatures


@dataclass
class Repository:
    """Folders by revision; a commit's name is made of what its folder holds."""

    name: str
    folders: dict[str, str] = field(default_factory=dict)  # branch, tag or ref: folder
    is_gated: bool = False
    is_private: bool = False
    is_disabled: bool = False

    def commit(self, revision: str) -> str | None:
        folder = self.folders.get(revision)
        return None if folder is None else commit_of(folder)

    def folder_of(self, revision: str) -> tuple[str, str] | None:
        """(commit, folder) of a branch, tag, ref or commit."""
        for known, folder in self.folders.items():
            commit = commit_of(folder)
            if revision in (known, commit):
                return commit, folder
        return None


def files_of(folder: str) -> list[str]:
    """Paths of a folder's files, sorted, without those that a download tool leaves for itself."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in (".cache", ".git")]
        found += [os.path.relpath(os.path.join(place, file), folder) for file in files]
    return sorted(found)


def commit_of(folder: str) -> str:
    told = hashlib.sha1()
    for path in files_of(folder):
        stat = os.stat(os.path.join(folder, path))
        told.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return told.hexdigest()


class Digests:
    """Digests of files, computed once. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple, str] = {}
        self._lock = threading.Lock()

    def of(self, path: str, kind: str) -> str:
        stat = os.stat(path)
        key = (path, stat.st_size, stat.st_mtime_ns, kind)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._compute(path, stat.st_size, kind)
            return self._known[key]

    @staticmethod
    def _compute(path: str, size: int, kind: str) -> str:
        if kind == "sha256" and size > SHA256_LIMIT:
            return hashlib.sha256(f"{path}\0{size}".encode()).hexdigest()
        digest = hashlib.new(kind)
        if kind == "sha1":  # git's name of the bytes
            digest.update(b"blob %d\0" % size)
        with open(path, "rb") as file:
            while piece := file.read(4 << 20):
                digest.update(piece)
        return digest.hexdigest()


def refusal(status: int, code: str | None, message: str, *headers: tuple[str, str]) -> Refused:
    named = [("X-Error-Code", code)] if code else []
    return Refused(json_answer({"error": message}, status, *named, ("X-Error-Message", message), *headers))


class Hub(Service):
    """The hub, and the CDN that its redirects lead to."""

    name = "hf"

    def __init__(self, repositories: dict[str, Repository], renamed: dict[str, str], given):
        super().__init__()
        self.repositories, self.renamed = repositories, renamed
        self.tokens, self.accepted, self.narrow = (
            set(filter(None, text.split(","))) for text in (given.tokens, given.accepted, given.narrow))
        self.lfs_over, self.page_size, self.size_cap, self.url_life_s = (
            given.lfs_over, given.page_size, given.size_cap, given.url_life)
        self.digests = Digests()
        self.cdn_url = ""
        self._signed: dict[str, tuple[str, str]] = {}  # key of an address: path, SHA-256

    def answer(self, request: Request) -> Answer:
        if (wait := request.fault.get("rate_limit")) is not None:
            raise refusal(429, None, "We had to rate limit you", ("RateLimit", f'"api";r=0;t={wait}'),
                          ("RateLimit-Policy", '"fixed window";"api";q=1000;w=300'))
        if request.bearer is not None and request.bearer not in self.tokens | self.accepted | self.narrow:
            raise refusal(401, None, "Invalid credentials in Authorization header")
        if request.method not in ("GET", "HEAD"):
            return text_answer("Method Not Allowed", 405)
        # A repository's name has one part or two: what follows it tells.
        match request.segments():
            case ["api", "models", *rest]:
                for parts in (2, 1):
                    name, tail = "/".join(rest[:parts]), rest[parts:]
                    if len(rest) >= parts and (not tail or len(tail) > 1 and tail[0] in ("revision", "tree")):
                        return self.described(request, name, tail)
            case [owner, name, "resolve", revision, *path] if path:
                return self.resolve(request, f"{owner}/{name}", revision, "/".join(path))
            case [name, "resolve", revision, *path] if path:
                return self.resolve(request, name, revision, "/".join(path))
        raise refusal(404, None, "Sorry, we can't find the page you are looking for.")

    def described(self, request: Request, name: str, tail: list[str]) -> Answer:
        repository = self.repository(request, name, "/api/models/")
        commit, folder = self.at(repository, tail[1] if tail else "main")
        if tail and tail[0] == "tree":
            return self.tree(request, repository, commit, folder, "/".join(tail[2:]))
        gated = "manual" if repository.is_gated else False
        value = {"_id": commit[:24], "id": repository.name, "modelId": repository.name, "sha": commit, "gated": gated,
                 "private": repository.is_private, "disabled": repository.is_disabled, "tags": [], "downloads": 0, "likes": 0,
                 "lastModified": "2024-01-01T00:00:00.000Z", "createdAt": "2024-01-01T00:00:00.000Z",
                 "siblings": [{"rfilename": path} for path in files_of(folder)]}
        return json_answer(value, 200, ("X-Repo-Commit", commit))

    def repository(self, request: Request, name: str, before: str) -> Repository:
        """The repository, if the caller may know of it; the hub does not tell a private one from none."""
        if name in self.renamed:
            rest = request.path[len(before) + len(urllib.parse.quote(name)):]
            query = f"?{request.query}" if request.query else ""
            place = before + urllib.parse.quote(self.renamed[name]) + rest + query
            raise Refused(text_answer(f"Temporary Redirect. Redirecting to {place}", 307, ("Location", place)))
        found = self.repositories.get(name)
        if found is None or found.is_private and request.bearer is None:
            if request.bearer is None:
                raise refusal(401, "RepoNotFound", "Repository not found")
            raise refusal(404, "RepoNotFound", "Repository not found")
        if found.is_disabled:
            raise refusal(403, None, "Access to this resource is disabled.")
        return found

    @staticmethod
    def at(repository: Repository, revision: str) -> tuple[str, str]:
        found = repository.folder_of(revision)
        if found is None:
            raise refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def is_lfs(self, path: str) -> bool:
        return os.path.getsize(path) > self.lfs_over

    def tree(self, request: Request, repository: Repository, commit: str, folder: str, below: str) -> Answer:
        recursive = request.parameters.get("recursive") == "true"
        entries: dict[str, dict] = {}
        for path in files_of(folder):
            if below and not path.startswith(below + "/"):
                continue
            start = len(below) + 1 if below else 0
            for at in (at for at, letter in enumerate(path) if letter == "/" and at > start):
                entries.setdefault(path[:at], {"type": "directory", "oid": hashlib.sha1(path[:at].encode()).hexdigest(),
                                               "size": 0, "path": path[:at]})
                if not recursive:
                    break
            else:
                entries[path] = self._entry(folder, path)
        names = list(entries)
        if below and not names:
            raise refusal(404, "EntryNotFound", f'"{below}" does not exist on "{commit}"')
        first = int(request.parameters.get("cursor") or 0)
        size = min(self.page_size, int(request.parameters.get("limit") or self.page_size))
        headers = [("X-Repo-Commit", commit)]
        if first + size < len(names):
            more = urllib.parse.urlencode({**request.parameters, "cursor": first + size})
            headers.append(("Link", f'<{request.base}{request.path}?{more}>; rel="next"'))
        return json_answer([entries[name] for name in names[first:first + size]], 200, *headers)

    def _entry(self, folder: str, path: str) -> dict:
        place = os.path.join(folder, path)
        size = os.path.getsize(place)
        if not self.is_lfs(place):
            return {"type": "file", "oid": self.digests.of(place, "sha1"), "size": size, "path": path}
        sha256 = self.digests.of(place, "sha256")
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        oid = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
        return {"type": "file", "oid": oid, "size": size, "path": path,
                "lfs": {"oid": sha256, "size": size, "pointerSize": len(pointer)}}

    def resolve(self, request: Request, name: str, revision: str, path: str) -> Answer:
        repository = self.repository(request, name, "/")
        if repository.is_gated and request.bearer not in self.accepted:
            if request.bearer is None:
                raise refusal(401, "GatedRepo", f"Access to model {name} is restricted. You must have access to it and be "
                                                "authenticated to access it. Please log in.")
            if request.bearer in self.narrow:
                raise refusal(403, None, "Please enable access to public gated repositories in your fine-grained token "
                                         "settings to view this repository.")
            raise refusal(403, "GatedRepo", f"Access to model {name} is restricted and you are not in the authorized list. "
                                            f"Visit https://huggingface.co/{name} to ask for access.")
        commit, folder = self.at(repository, revision)
        place = os.path.join(folder, path)
        if ".." in path.split("/") or not os.path.isfile(place):
            raise refusal(404, "EntryNotFound", "Entry not found", ("X-Repo-Commit", commit))
        headers = [("X-Repo-Commit", commit), ("Content-Disposition", f'inline; filename="{os.path.basename(path)}"')]
        if request.fault.get("pointer"):  # a hub without LFS gives the pointer instead of the bytes
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {os.path.getsize(place)}\n"
            return text_answer(pointer, 200, *headers, ("ETag", f'"{"0" * 40}"'))
        if not self.is_lfs(place):
            headers.append(("ETag", f'"{self.digests.of(place, "sha1")}"'))
            return ranged(request, FileContent(place), [("Content-Type", "text/plain; charset=utf-8"), *headers])
        sha256 = self.digests.of(place, "sha256")
        headers += [("X-Linked-Size", str(os.path.getsize(place))), ("X-Linked-ETag", f'"{sha256}"'), ("ETag", f'"{sha256}"'),
                    ("Location", self.signed(place, sha256))]
        return text_answer("Found. Redirecting to the CDN", 302, *headers)

    def signed(self, place: str, sha256: str) -> str:
        key = hashlib.sha1(place.encode()).hexdigest()
        self._signed[key] = (place, sha256)
        expires = int(time.time() + self.url_life_s)
        query = f"Expires={expires}&Signature={signature(key, expires)}&Key-Pair-Id=STUB"
        return f"{self.cdn_url}/repos/{key}/{sha256}?{query}"

    def cdn(self, request: Request) -> Answer:
        """The CDN: knows signatures, not tokens."""
        match = re.fullmatch(r"/repos/([0-9a-f]{40})/([0-9a-f]{64})", request.path)
        if "Authorization" in request.headers:
            return denied(400, "InvalidArgument", "Only one auth mechanism allowed")
        if request.method not in ("GET", "HEAD") or not match or match[1] not in self._signed:
            return denied(404, "NoSuchKey", "The specified key does not exist.")
        expires = request.parameters.get("Expires", "0")
        if not hmac.compare_digest(request.parameters.get("Signature", ""), signature(match[1], expires)):
            return denied(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if time.time() >= int(expires) or request.fault.get("expired"):
            return denied(403, "AccessDenied", "Request has expired")
        place, sha256 = self._signed[match[1]]
        content = FileContent(place)
        if request.method == "GET" and request.range is None and self.size_cap and content.size > self.size_cap:
            return text_answer("Bad Request: the file is too large for one answer", 400)
        return ranged(request, content, [("Content-Type", "binary/octet-stream"), ("ETag", f'"{sha256}"')])


def signature(key: str, expires) -> str:
    return hmac.new(KEY, f"{key} {expires}".encode(), "sha256").hexdigest()


def denied(status: int, code: str, message: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return text_answer(body, status, kind="application/xml")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--repo", action="append", default=[], metavar="ORG/NAME=FOLDER", help="its revision main")
    parser.add_argument("--revision", action="append", default=[], metavar="ORG/NAME@REV=FOLDER", help="a branch, tag, refs/pr/N")
    parser.add_argument("--gated", action="append", default=[], metavar="ORG/NAME")
    parser.add_argument("--private", action="append", default=[], metavar="ORG/NAME", help="seen with any known token")
    parser.add_argument("--disabled", action="append", default=[], metavar="ORG/NAME")
    parser.add_argument("--renamed", action="append", default=[], metavar="OLD=NEW")
    parser.add_argument("--tokens", default="", help="known tokens, parted by commas; another one is refused everywhere")
    parser.add_argument("--accepted", default="", help="known tokens whose account has accepted the gated repositories' terms")
    parser.add_argument("--narrow", default="", help="known tokens without the right to read gated repositories")
    parser.add_argument("--lfs-over", type=int, default=1 << 20, metavar="BYTES", help="larger files come from the CDN")
    parser.add_argument("--page-size", type=int, default=1000, help="entries of a tree's page")
    parser.add_argument("--size-cap", type=int, default=0, metavar="BYTES", help="the CDN answers 400 to a plain GET of more")
    parser.add_argument("--url-life", type=float, default=3600, metavar="SECONDS", help="of signed addresses")
    parser.add_argument("--cdn-url", help="what signed addresses begin with, instead of this CDN's own address")
    given = parser.parse_args()
    repositories: dict[str, Repository] = {}
    for text in given.repo:
        name, _, folder = text.partition("=")
        repositories.setdefault(name, Repository(name)).folders["main"] = folder
    for text in given.revision:
        named, _, folder = text.partition("=")
        name, _, revision = named.partition("@")
        repositories.setdefault(name, Repository(name)).folders[revision] = folder
    for name in given.gated:
        repositories[name].is_gated = True
    for name in given.private:
        repositories[name].is_private = True
    for name in given.disabled:
        repositories[name].is_disabled = True
    hub = Hub(repositories, dict(text.split("=", 1) for text in given.renamed), given)
    hub.cdn_url = beside(hub, hub.cdn, given.tls, "cdn", given.cdn_url)
    serve(Listener(hub, given.port), given.tls)


if __name__ == "__main__":
    main()
