"""A strict stub of Kaggle's models API, of both generations: REST paths, and the RPC methods of the present clients.

Downloads are redirected to signed addresses on another port, as Kaggle's lead to Cloud Storage. A request there that carries
Authorization is recorded; `--strict-redirect` refuses it, as the official client (which follows redirects within "localhost")
would otherwise fail.
"""

import base64
import hmac
import io
import os
import re
import tarfile
import threading
import time
import urllib.parse

import crc32c
from content import Content, FileContent, MemoryContent
from service import Answer, Listener, Refused, Request, Service, beside, json_answer, options, ranged, serve, text_answer

KEY = os.urandom(32)  # of this run's signatures
RPC = "models.ModelApiService"


def failed(code: int, message: str, status: int | None = None) -> Refused:
    return Refused(json_answer({"code": code, "message": message}, status or code))


def framework_of(text: str) -> str:
    """One spelling of "maxText", "MaxText" and MODEL_FRAMEWORK_MAX_TEXT."""
    return text.removeprefix("MODEL_FRAMEWORK_").replace("_", "").lower()


class Variation:
    """The versions of one variation: {number: folder}."""

    def __init__(self, owner: str, model: str, framework: str, name: str):
        self.owner, self.model, self.framework, self.name = owner, model, framework, name
        self.versions: dict[int, str] = {}
        self.needs_licence = False

    def files(self, version: int) -> list[str]:
        folder = self.versions[version]
        return sorted(os.path.relpath(os.path.join(place, file), folder)
                      for place, _, files in os.walk(folder, followlinks=True) for file in files)

    def shown(self) -> dict:
        newest = max(self.versions)
        size = sum(os.path.getsize(os.path.join(self.versions[newest], file)) for file in self.files(newest))
        return {"id": 1, "slug": self.name, "framework": self.framework, "versionNumber": newest, "versionId": newest,
                "url": f"/models/{self.owner}/{self.model}/{self.framework}/{self.name}", "totalUncompressedBytes": size,
                "licenseName": "Gemma", "overview": "", "usage": "", "trainingData": []}


class Kaggle(Service):
    """The API, and the signed addresses on the other port."""

    name = "kaggle"

    def __init__(self, given):
        super().__init__()
        self.variations: dict[tuple, Variation] = {}
        self.users = dict(text.split(":", 1) for text in given.user)
        self.tokens = set(given.token)
        self.without_licence = set(given.without_licence)
        self.page_size, self.url_life_s, self.is_strict = given.page_size, given.url_life, given.strict_redirect
        self.archive_only = given.archive_only
        self.archives = dict(text.split("=", 1) for text in given.archive)
        self.signed_base = ""
        self._contents: dict[str, Content] = {}
        self._lock = threading.Lock()
        for text in given.model:
            handle, _, folder = text.partition("=")
            owner, model, framework, name, version = handle.split("/")
            key = (owner, model, framework_of(framework), name)
            self.variations.setdefault(key, Variation(owner, model, framework, name)).versions[int(version)] = folder
        for handle in given.licence:
            owner, model, framework, name = handle.split("/")[:4]
            self.variations[owner, model, framework_of(framework), name].needs_licence = True

    def answer(self, request: Request) -> Answer:
        caller = self.caller(request)
        path = request.segments()
        match path[1:] if path[0] == "api" else path:
            case ["v1", service, method] if service == RPC and request.method == "POST":
                return self.rpc(caller, method, request.json())
            case ["v1", "models", owner, model, "get"] if request.method == "GET":
                return self.model(owner, model)
            case ["v1", "models", owner, model, framework, name, "get"] if request.method == "GET":
                return json_answer(self.variation(owner, model, framework, name).shown())
            case ["v1", "models", owner, model, framework, name, version, "files"] if request.method == "GET":
                given = request.parameters
                return self.listed(caller, self.variation(owner, model, framework, name), version,
                                   given.get("page_size") or given.get("pageSize"),
                                   given.get("page_token") or given.get("pageToken"))
            case ["v1", "models", owner, model, framework, name, version, "download", *file] if request.method in ("GET", "HEAD"):
                return self.download(caller, self.variation(owner, model, framework, name), version, "/".join(file))
        raise failed(404, "Not found")

    def caller(self, request: Request) -> str:
        """Who asks: a user's name, or the token. Without credentials only what needs no licence is had."""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        match kind.lower():
            case "":
                return ""
            case "bearer" if value in self.tokens:
                return value
            case "basic":
                try:
                    user, _, key = base64.b64decode(value).decode().partition(":")
                except ValueError:
                    user, key = "", ""
                if user and self.users.get(user) == key:
                    return user
        raise failed(401, "Unauthenticated")

    def variation(self, owner: str, model: str, framework: str, name: str) -> Variation:
        found = self.variations.get((owner, model, framework_of(framework), name))
        if found is None:
            raise failed(404, f"The requested model instance was not found: {owner}/{model}/{framework}/{name}")
        return found

    def model(self, owner: str, model: str) -> Answer:
        found = [one for key, one in sorted(self.variations.items()) if key[:2] == (owner, model)]
        if not found:
            raise failed(404, "Not found")
        return json_answer({"ref": f"{owner}/{model}", "slug": model, "author": owner,
                            "instances": [one.shown() for one in found]})

    def rpc(self, caller: str, method: str, body: dict) -> Answer:
        if method == "GetModel":
            return self.model(body.get("ownerSlug", ""), body.get("modelSlug", ""))
        found = self.variation(body.get("ownerSlug", ""), body.get("modelSlug", ""), str(body.get("framework", "")),
                               body.get("instanceSlug", ""))
        match method:
            case "GetModelInstance":
                return json_answer(found.shown())
            case "ListModelInstanceVersionFiles":
                return self.listed(caller, found, body.get("versionNumber"), body.get("pageSize"), body.get("pageToken"))
            case "DownloadModelInstanceVersion":
                return self.download(caller, found, body.get("versionNumber"), body.get("path") or "")
        raise failed(404, f"No such method: {method}")

    def folder(self, caller: str, variation: Variation, version) -> tuple[int, str]:
        if not re.fullmatch(r"\d{1,9}", str(version)) or int(version) not in variation.versions:
            known = ", ".join(map(str, sorted(variation.versions)))
            raise failed(404, f"The requested version {version} was not found; known versions: {known}")
        if variation.needs_licence:
            if not caller:
                raise failed(401, "Unauthenticated")
            if caller in self.without_licence:
                raise failed(403, "Permission 'models.get' was denied: the user has not accepted the licence of this model")
        return int(version), variation.versions[int(version)]

    def listed(self, caller: str, variation: Variation, version, size, token) -> Answer:
        number, folder = self.folder(caller, variation, version)
        if self.archive_only:
            raise failed(403, "Listing the files of this model is not allowed")
        names = variation.files(number)
        first = int(token) if re.fullmatch(r"\d+", str(token or "")) else 0
        most = min(int(size or 20), self.page_size)
        page = names[first:first + most]
        files = [{"name": name, "size": os.path.getsize(os.path.join(folder, name)), "creationDate": "2024-01-01T00:00:00.000Z"}
                 for name in page]
        return json_answer({"files": files, "nextPageToken": str(first + most) if first + most < len(names) else ""})

    def download(self, caller: str, variation: Variation, version, file: str) -> Answer:
        number, folder = self.folder(caller, variation, version)
        if file and file not in variation.files(number):
            raise failed(404, f"The requested file was not found: {file}")
        key = f"{variation.owner}/{variation.model}/{variation.framework}/{variation.name}/{number}/{file or 'archive.tar.gz'}"
        with self._lock:
            content = self._contents.get(key)
            if content is None or isinstance(content, FileContent) and not content.is_current():
                self._contents[key] = (FileContent(os.path.join(folder, file)) if file
                                       else self._archive(key.rpartition("/")[0], folder, variation.files(number)))
        expires = int(time.time() + self.url_life_s)
        place = f"/kaggle-models-data/{urllib.parse.quote(key)}"
        query = urllib.parse.urlencode({"X-Goog-Algorithm": "GOOG4-RSA-SHA256", "X-Goog-Expires": expires,
                                        "X-Goog-SignedHeaders": "host", "X-Goog-Signature": signature(place, expires)})
        return text_answer("Found", 302, ("Location", f"{self.signed_base}{place}?{query}"))

    def _archive(self, handle: str, folder: str, files: list[str]) -> Content:
        if handle in self.archives:
            return FileContent(self.archives[handle])
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for file in files:
                archive.add(os.path.join(folder, file), arcname=file, filter=_anonymous)
        return MemoryContent(packed.getvalue())

    def signed(self, request: Request) -> Answer:
        """Cloud Storage behind the redirects: it knows signatures, not tokens."""
        if self.is_strict and "Authorization" in request.headers:
            return storage_error(400, "InvalidArgument", "Only one authentication mechanism is allowed.")
        expires = request.parameters.get("X-Goog-Expires", "0")
        if not hmac.compare_digest(request.parameters.get("X-Goog-Signature", ""), signature(request.path, expires)):
            return storage_error(403, "SignatureDoesNotMatch", "Access denied.")
        if time.time() >= int(expires) or request.fault.get("expired"):
            return storage_error(400, "ExpiredToken", "The provided token has expired.")
        content = self._contents.get(urllib.parse.unquote(request.path).removeprefix("/kaggle-models-data/"))
        if content is None or request.method not in ("GET", "HEAD"):
            return storage_error(404, "NoSuchKey", "The specified key does not exist.")
        hashes = [f"crc32c={crc32c.encode(content.crc())}"]
        if (md5 := content.md5()) is not None:
            hashes.append(f"md5={base64.b64encode(md5).decode()}")
        return ranged(request, content, [("Content-Type", "application/octet-stream"), ("x-goog-hash", ",".join(hashes)),
                                         ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")])


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def signature(path: str, expires) -> str:
    return hmac.new(KEY, f"{path} {expires}".encode(), "sha256").hexdigest()


def storage_error(status: int, code: str, message: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return text_answer(body, status, kind="application/xml")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", action="append", default=[], metavar="OWNER/MODEL/FRAMEWORK/VARIATION/VERSION=FOLDER")
    parser.add_argument("--licence", action="append", default=[], metavar="HANDLE", help="needs an account that accepted its licence")
    parser.add_argument("--user", action="append", default=[], metavar="NAME:KEY", help="HTTP Basic credentials that are good")
    parser.add_argument("--token", action="append", default=[], help="a bearer token that is good")
    parser.add_argument("--without-licence", action="append", default=[], metavar="NAME|TOKEN", help="has accepted no licence")
    parser.add_argument("--page-size", type=int, default=1000, help="most files of a list's page, whatever is asked for")
    parser.add_argument("--url-life", type=float, default=3600, metavar="SECONDS", help="of signed addresses")
    parser.add_argument("--archive-only", action="store_true", help="listing files is refused")
    parser.add_argument("--archive", action="append", default=[], metavar="OWNER/MODEL/FRAMEWORK/VARIATION/VERSION=FILE",
                        help="a version's archive, sent as it is, instead of one of its folder")
    parser.add_argument("--strict-redirect", action="store_true", help="signed addresses refuse Authorization")
    parser.add_argument("--storage-url", help="what signed addresses begin with, instead of this storage's own address")
    given = parser.parse_args()
    service = Kaggle(given)
    service.signed_base = beside(service, service.signed, given.tls, "storage", given.storage_url)
    serve(Listener(service, given.port), given.tls)


if __name__ == "__main__":
    main()
