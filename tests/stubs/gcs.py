"""A strict stub of Google Cloud Storage: the JSON API, resumable uploads, and XML multipart uploads, by the real rules.

Where public emulators are lenient, this one refuses: chunks that are no multiple of 256 KiB, resent bytes appended twice,
preconditions ignored, wrong checksums, parts below 5 MiB, reads of a generation that is gone.
"""

import base64
import os
import urllib.parse

from content import FileContent, MemoryContent
from fields import masked
from gcs_access import JSON, Tokens, json_error, xml_error
from gcs_store import Object, Store
from gcs_uploads import Uploads
from gcs_xml import XmlApi
from service import Answer, Listener, Request, json_answer, options, serve, text_answer

MOST_SOURCES = 32


class Gcs(Uploads, XmlApi):
    """The service: two APIs over one store. Here are the routes, and what the JSON API does with buckets and objects."""

    def __init__(self, store: Store, tokens: Tokens, requester_pays: set[str], page_size: int):
        super().__init__(store, tokens, requester_pays)
        self.page_size = page_size
        self.rewrites: dict[str, int] = {}  # token: bytes copied so far
        self.kept: tuple[dict, dict] = ({}, {})  # sessions and multiparts

    def answer(self, request: Request) -> Answer:
        path = request.segments()
        match path:
            case ["storage", "v1", "b", bucket]:
                return self.bucket(request, bucket)
            case ["storage", "v1", "b", bucket, "o"]:
                return self.listed(request, bucket)
            case ["storage", "v1", "b", bucket, "o", name, "compose"] if request.method == "POST":
                return self.compose(request, bucket, name)
            case ["storage", "v1", "b", bucket, "o", name, "rewriteTo", "b", other, "o", copy] if request.method == "POST":
                return self.rewrite(request, bucket, name, other, copy)
            case ["storage", "v1", "b", bucket, "o", name] | ["download", "storage", "v1", "b", bucket, "o", name]:
                return self.object(request, bucket, name, is_download=path[0] == "download")
            case [("upload" | "resumable"), "storage", "v1", "b", bucket, "o"]:
                return self.upload(request, bucket)
            case ["storage" | "upload" | "download" | "batch", *_]:
                return json_error(404, "notFound", "Not Found")
            case [bucket] | [bucket, ""] if bucket:
                return self.xml_bucket(request, bucket)
            case [bucket, *rest] if bucket:
                return self.xml_object(request, bucket, "/".join(rest))
        return xml_error(400, "InvalidURI", "Couldn't parse the specified URI.")

    def bucket(self, request: Request, bucket: str) -> Answer:
        self.admit(request, JSON, bucket, "storage.buckets.get")
        value = {"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US-CENTRAL1", "storageClass": "STANDARD",
                 "metageneration": "1", "locationType": "region"}
        if bucket in self.requester_pays:
            value["billing"] = {"requesterPays": True}
        return json_answer(masked(value, request.parameters.get("fields")))

    def listed(self, request: Request, bucket: str) -> Answer:
        self.admit(request, JSON, bucket, "storage.objects.list")
        given = request.parameters
        prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
        most = min(int(given.get("maxResults") or 1000), self.page_size)
        after = ""
        if token := given.get("pageToken"):
            try:
                after = base64.urlsafe_b64decode(token).decode()
            except ValueError:
                return json_error(400, "invalid", "Invalid argument: pageToken")
        value: dict = {"kind": "storage#objects"}
        if request.fault.get("empty_page"):
            value["nextPageToken"] = self._token(after)
            return json_answer(masked(value, given.get("fields")))
        # Objects and prefixes share the page, and each prefix counts once.
        items: list[dict] = []
        prefixes: list[str] = []
        last = ""
        for name in self.store.names(bucket):
            if not name.startswith(prefix) or name < given.get("startOffset", ""):
                continue
            if "endOffset" in given and name >= given["endOffset"]:
                continue
            at = name.find(delimiter, len(prefix)) if delimiter else -1
            entry = name if at < 0 else name[:at + len(delimiter)]
            if after and entry.encode() <= after.encode():
                continue
            if at >= 0 and entry in prefixes:
                continue
            if len(items) + len(prefixes) == most:
                value["nextPageToken"] = self._token(last)
                break
            if at >= 0:
                prefixes.append(entry)
            if at < 0 or at + len(delimiter) == len(name) and given.get("includeTrailingDelimiter") == "true":
                if one := self.store.find(bucket, name):
                    items.append(one.resource(bucket, self.base(request)))
            last = entry
        if items:
            value["items"] = items
        if prefixes:
            value["prefixes"] = prefixes
        return json_answer(masked(value, given.get("fields")))

    @staticmethod
    def _token(name: str) -> str:
        return base64.urlsafe_b64encode(name.encode()).decode()

    def object(self, request: Request, bucket: str, name: str, is_download: bool) -> Answer:
        given = request.parameters
        match request.method:
            case "GET" | "HEAD":
                self.admit(request, JSON, bucket, "storage.objects.get")
                value = self.found(JSON, bucket, name, given.get("generation"))
                self.check(JSON, value, given, is_read=True)
                if given.get("alt") == "media":
                    return self.media(request, value)
                if is_download:
                    return json_error(400, "invalid", "alt=media is required")
                return self.shown(request, bucket, value)
            case "DELETE":
                self.admit(request, JSON, bucket, "storage.objects.delete")
                with self.store.lock:
                    value = self.found(JSON, bucket, name, given.get("generation"))
                    self.check(JSON, value, given)
                    self.store.remove(bucket, name)
                return Answer(204)
        return json_error(405, "methodNotAllowed", "Method not allowed.")

    def compose(self, request: Request, bucket: str, name: str) -> Answer:
        self.admit(request, JSON, bucket, "storage.objects.create")
        self.admit(request, JSON, bucket, "storage.objects.get")
        body = request.json()
        sources = body.get("sourceObjects") or []
        if not sources:
            return json_error(400, "required", "You must provide at least one source component.")
        if len(sources) > MOST_SOURCES:
            return json_error(400, "invalid", f"The number of source components provided ({len(sources)}) exceeds the maximum "
                                              f"({MOST_SOURCES})")
        with self.store.lock:
            found = []
            for source in sources:
                pinned = source.get("generation")
                one = self.found(JSON, bucket, source["name"], None if pinned is None else str(pinned))
                wanted = (source.get("objectPreconditions") or {}).get("ifGenerationMatch")
                if wanted is not None:
                    self.check(JSON, one, {"ifGenerationMatch": str(wanted)})
                found.append(one)
            self.check(JSON, self.store.find(bucket, name), request.parameters)
            content = self.store.joined([one.content for one in found])
            count = sum(one.component_count or 1 for one in found)
            made = self.store.write(bucket, name, content, body.get("destination") or {}, has_md5=False, component_count=count)
        return self.shown(request, bucket, made)

    def rewrite(self, request: Request, bucket: str, name: str, other: str, copy: str) -> Answer:
        self.admit(request, JSON, bucket, "storage.objects.get")
        self.admit(request, JSON, other, "storage.objects.create")
        given = request.parameters
        token = given.get("rewriteToken")
        if token is not None and token not in self.rewrites:
            return json_error(400, "invalid", "Invalid rewrite token.")
        with self.store.lock:
            source = self.found(JSON, bucket, name, given.get("sourceGeneration"))
            conditions = {f"if{key[8:]}": value for key, value in given.items() if key.startswith("ifSource")}
            self.check(JSON, source, conditions)
            self.check(JSON, self.store.find(other, copy), given)
            value = {"kind": "storage#rewriteResponse", "objectSize": str(source.content.size)}
            if request.fault.get("rewrite_more"):
                copied = min(source.content.size, self.rewrites.get(token or "", 0) + (1 << 20))
                following = os.urandom(8).hex()
                self.rewrites[following] = copied
                return json_answer(masked({**value, "done": False, "totalBytesRewritten": str(copied),
                                           "rewriteToken": following}, given.get("fields")))
            resource = {"contentType": source.content_type, "contentEncoding": source.content_encoding,
                        "metadata": source.metadata, **request.json()}
            content = source.content
            if isinstance(content, FileContent):
                content = self.store.joined([content])
            made = self.store.write(other, copy, content, resource, has_md5=source.has_md5,
                                    component_count=source.component_count)
        value.update(done=True, totalBytesRewritten=str(made.content.size), resource=made.resource(other, self.base(request)))
        return json_answer(masked(value, given.get("fields")))

    def control(self, request: Request, what: str) -> Answer:
        kind, _, rest = what.partition("/")
        bucket, _, name = urllib.parse.unquote(rest).partition("/")
        match request.method, kind:
            case "PUT", "objects":
                self.store.buckets.setdefault(bucket, {})
                spool = self.store.spool()
                for piece in request.pieces():
                    spool.append(piece)
                resource = {"contentType": request.headers.get("Content-Type"),
                            "contentEncoding": request.headers.get("Content-Encoding")}
                with self.store.lock:
                    return json_answer({"generation": str(self.store.write(bucket, name, spool.finish(), resource).generation)})
            case ("GET" | "DELETE"), "objects":
                value = self.store.find(bucket, name) if bucket in self.store.buckets else None
                if value is None:
                    return text_answer("no such object\n", 404)
                if request.method == "GET":
                    return Answer(200, content=value.content, begin=0, end=value.content.size)
                with self.store.lock:
                    self.store.remove(bucket, name)
                return Answer(204)
            case "DELETE", "below":  # all objects and uploads whose names begin so
                self.remove_below(bucket, name)
                return Answer(204)
            case "GET", "names":
                return json_answer(self.store.names(bucket) if bucket in self.store.buckets else [])
            case "GET", "made":  # how many generations there were of the objects whose names begin so
                with self.store.lock:
                    return json_answer({place: count for place, count in self.store.made.items() if place.startswith(f"{bucket}/{name}")})
            case "GET", "uploads":  # what is unfinished: a careful client leaves nothing
                with self.multiparts_lock:
                    multiparts = list(self.multiparts.values())
                return json_answer({
                    "resumable": [one.name for one in self.sessions.values()
                                  if not (one.finished or one.refused or one.is_cancelled)],
                    "multipart": [one.name for one in multiparts]})
            case "PUT", "kept":
                self.keep()
                return Answer(204)
            case "POST", "kept":
                self.return_to_kept()
                return Answer(204)
            case ("PUT" | "DELETE"), "tokens":
                (self.tokens.add if request.method == "PUT" else self.tokens.drop)(urllib.parse.unquote(rest))
                return Answer(204)
        return super().control(request, what)

    def remove_below(self, bucket: str, prefix: str) -> None:
        with self.store.lock:
            for name in self.store.names(bucket):
                if name.startswith(prefix) and self.store.find(bucket, name):
                    self.store.remove(bucket, name)
        for uploads in (self.sessions, self.multiparts):
            for key in [key for key, one in uploads.items() if one.bucket == bucket and one.name.startswith(prefix)]:
                uploads.pop(key)

    def keep(self) -> None:
        """Keeps all objects and uploads as they are now. No request may be under way."""
        self.store.keep()
        self.kept = self.copied(self.sessions), self.copied(self.multiparts)

    def return_to_kept(self) -> None:
        """Makes objects and uploads what they were at `keep`, as often as one likes. No request may be under way."""
        self.store.return_to_kept()
        self.sessions, self.multiparts = self.copied(self.kept[0]), self.copied(self.kept[1])

    @staticmethod
    def copied(uploads: dict) -> dict:
        return {key: upload.copy() for key, upload in uploads.items()}

    def object_names(self) -> list[str]:
        with self.store.lock:
            return [f"{bucket}/{name}" for bucket, objects in self.store.buckets.items() for name in objects]

    def change_object(self, name: str) -> None:
        """`name` is BUCKET/OBJECT. Its bytes stay; the generation is another one."""
        bucket, _, name = name.partition("/")
        with self.store.lock:
            if bucket in self.store.buckets and (value := self.store.find(bucket, name)):
                value = Object(**{**vars(value), "generation": self.store.next_generation()})
                self.store.buckets[bucket][name] = value
            else:
                self.store.buckets.setdefault(bucket, {})
                self.store.write(bucket, name, MemoryContent(b"another writer's\n"), {})


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--folder", help="FOLDER/BUCKET/NAME: objects live there; without it, in memory")
    parser.add_argument("--sums", help="file for the CRC-32Cs of FOLDER's large files, which may be shared; FOLDER/.crc32c.json")
    parser.add_argument("--no-md5", action="store_true", help="objects have a CRC-32C alone, as composed ones: that is faster")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket that exists, besides FOLDER's")
    parser.add_argument("--requester-pays", action="append", default=[], metavar="BUCKET")
    parser.add_argument("--tokens", help="file of tokens, or tokens parted by commas: only these are accepted")
    parser.add_argument("--permissions", help='JSON: {"TOKEN": ["storage.objects.get", ..]}; tokens not named may do all')
    parser.add_argument("--page-size", type=int, default=1000, help="most entries of a list's page")
    given = parser.parse_args()
    store = Store([*given.bucket, *given.requester_pays], given.folder, given.sums, not given.no_md5)
    service = Gcs(store, Tokens(given.tokens, given.permissions), set(given.requester_pays), given.page_size)
    serve(Listener(service, given.port), given.tls)


if __name__ == "__main__":
    main()
