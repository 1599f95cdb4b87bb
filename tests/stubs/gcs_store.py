"""Buckets and objects of the gcs stub: in memory, or below a folder, where a test may look at them as files."""

import base64
import collections
import contextlib
import copy
import hashlib
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

import crc32c
from content import Content, FileContent, MemoryContent


KEPT = ".kept"  # of a store's folder: what Store.keep keeps


@dataclass
class Object:
    """A live object. A write makes a new one; nothing of it changes."""

    name: str
    content: Content
    generation: int
    content_type: str = "application/octet-stream"
    content_encoding: str = ""
    metadata: dict = field(default_factory=dict)
    component_count: int = 0  # of a composite object: it has no MD5
    has_md5: bool = True
    updated: str = ""

    def resource(self, bucket: str, base: str) -> dict:
        """The object as the JSON API shows it."""
        place = f"{base}/storage/v1/b/{bucket}/o/{urllib.parse.quote(self.name, safe='')}"
        value = {
            "kind": "storage#object", "id": f"{bucket}/{self.name}/{self.generation}", "selfLink": place,
            "mediaLink": place.replace("/storage/", "/download/storage/", 1) + f"?generation={self.generation}&alt=media",
            "name": self.name, "bucket": bucket, "generation": str(self.generation), "metageneration": "1",
            "contentType": self.content_type, "storageClass": "STANDARD", "size": str(self.content.size),
            "crc32c": crc32c.encode(self.content.crc()), "etag": self.etag(), "timeCreated": self.updated,
            "updated": self.updated, "timeStorageClassUpdated": self.updated}
        if (md5 := self.md5()) is not None:
            value["md5Hash"] = base64.b64encode(md5).decode()
        if self.content_encoding:
            value["contentEncoding"] = self.content_encoding
        if self.component_count:
            value["componentCount"] = self.component_count
        if self.metadata:
            value["metadata"] = self.metadata
        return value

    def md5(self) -> bytes | None:
        return self.content.md5() if self.has_md5 else None

    def etag(self) -> str:
        return base64.b64encode(self.generation.to_bytes(8, "big")).decode()

    def hashes(self) -> list[tuple[str, str]]:
        headers = [("x-goog-hash", f"crc32c={crc32c.encode(self.content.crc())}")]
        if (md5 := self.md5()) is not None:
            headers.append(("x-goog-hash", f"md5={base64.b64encode(md5).decode()}"))
        return headers


class Sums:
    """CRC-32Cs of large files that were found below the folder, kept in a file: a model that many tests serve is summed once.

    All are made before the stub listens: a client's first list would otherwise wait for them. Thread-safe.
    """

    SMALLEST = 1 << 20

    def __init__(self, path: str):
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, list[int]] = {}  # real path: size, time of change, CRC
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
            self._known = json.load(file)

    def of(self, content: FileContent) -> int | None:
        with self._lock:
            size, modified_ns, crc = self._known.get(os.path.realpath(content.path), (0, 0, 0))
        return crc if (size, modified_ns) == (content.size, content.modified_ns) else None

    def make(self, paths: list[str]) -> None:
        missing = [one for one in map(FileContent, paths) if one.size >= self.SMALLEST and self.of(one) is None]
        if not missing:
            return
        import concurrent.futures  # noqa: PLC0415 (it takes long, and most stubs start without such files)

        with concurrent.futures.ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
            for content, crc in zip(missing, pool.map(crc32c.of_file, [one.path for one in missing])):
                self._known[os.path.realpath(content.path)] = [content.size, content.modified_ns, crc]
        with contextlib.suppress(OSError):  # a folder that cannot be written is served all the same
            with open(f"{self._path}.{os.getpid()}", "w", encoding="utf-8") as file:
                json.dump(self._known, file)
            os.replace(file.name, self._path)


class Spool:
    """Bytes that arrive: in memory, or in a file where the stub has a folder. Keeps their CRC-32C and MD5 as they come."""

    def __init__(self, folder: str | None, has_md5: bool = True):
        self.size, self.crc = 0, 0
        self._md5 = hashlib.md5() if has_md5 else None
        self._pieces: list[bytes] = []
        self._file = tempfile.NamedTemporaryFile(dir=folder, delete=False) if folder else None

    def append(self, piece: bytes) -> None:
        self.crc = crc32c.crc32c(piece, self.crc)
        if self._md5:
            self._md5.update(piece)
        self.size += len(piece)
        if self._file:
            self._file.write(piece)
        else:
            self._pieces.append(piece)

    def md5(self) -> bytes:
        """Where none is kept, one that is made up and tells pieces apart."""
        return self._md5.digest() if self._md5 else hashlib.md5(f"{self.size} {self.crc}".encode()).digest()

    def copy(self) -> "Spool":
        """Another one with the same bytes. A file is shared: it is one of a store that keeps files (Store.keep)."""
        if self._file and not self._file.closed:
            self._file.flush()
        other = copy.copy(self)
        other._md5, other._pieces = self._md5 and self._md5.copy(), list(self._pieces)
        return other

    def finish(self) -> Content:
        if not self._file:
            return MemoryContent(b"".join(self._pieces), self.crc, self.md5())
        self._file.close()
        return FileContent(self._file.name, self.crc, self.md5())

    def discard(self) -> None:
        self._pieces.clear()
        if self._file:
            self._file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._file.name)


class Store:
    """Buckets and their objects, below a folder where there is one. Every change is made under `lock`."""

    def __init__(self, buckets: list[str], folder: str | None, sums: str | None = None, has_md5: bool = True):
        self.lock = threading.RLock()
        self.has_md5 = has_md5
        self.folder = os.path.abspath(folder) if folder else None
        self.spools: str | None = None
        self._kept: dict[str, dict[str, Object]] = {}
        self._generations = itertools.count(time.time_ns() // 1000)
        self.made: collections.Counter[str] = collections.Counter()  # generations by "BUCKET/NAME"
        self.buckets: dict[str, dict[str, Object]] = {name: {} for name in buckets}
        if self.folder:
            os.makedirs(self.folder, exist_ok=True)
            for name in sorted(os.listdir(self.folder)):
                if os.path.isdir(os.path.join(self.folder, name)) and not name.startswith("."):
                    self.buckets.setdefault(name, {})
            self.spools = os.path.join(self.folder, ".uploads")
            shutil.rmtree(self.spools, ignore_errors=True)
            os.makedirs(self.spools)
            self.sums = Sums(sums or os.path.join(self.folder, ".crc32c.json"))
            self.sums.make([os.path.join(self.folder, bucket, name) for bucket in self.buckets for name in self.names(bucket)
                            if os.path.isfile(os.path.join(self.folder, bucket, name))])

    def spool(self) -> Spool:
        return Spool(self.spools, self.has_md5)

    def keep(self) -> None:
        """Keeps all objects as they are now; files by links, as none is ever changed in place."""
        with self.lock:
            self._kept = {bucket: dict(objects) for bucket, objects in self.buckets.items()}
            if self.folder:
                shutil.rmtree(os.path.join(self.folder, KEPT), ignore_errors=True)
                for name in self._file_folders():
                    self._link_all(os.path.join(self.folder, name), os.path.join(self.folder, KEPT, name))

    def return_to_kept(self) -> None:
        with self.lock:
            self.buckets = {bucket: dict(objects) for bucket, objects in self._kept.items()}
            if self.folder:
                for name in self._file_folders():
                    shutil.rmtree(os.path.join(self.folder, name))
                    self._link_all(os.path.join(self.folder, KEPT, name), os.path.join(self.folder, name))

    def _file_folders(self) -> list[str]:
        """Folders of buckets and of uploads."""
        return [name for name in os.listdir(self.folder) if name != KEPT and os.path.isdir(os.path.join(self.folder, name))]

    @staticmethod
    def _link_all(folder: str, copied: str) -> None:
        os.makedirs(copied, exist_ok=True)
        if os.path.isdir(folder):
            shutil.copytree(folder, copied, copy_function=os.link, dirs_exist_ok=True)

    def _path(self, bucket: str, name: str) -> str | None:
        """Where an object lies below the folder; None for a name that is no path."""
        parts = name.split("/")
        if self.folder is None or any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts):
            return None
        return os.path.join(self.folder, bucket, *parts)

    def find(self, bucket: str, name: str) -> Object | None:
        """The live object; one whose file was put or changed below the folder by others is taken up."""
        with self.lock:
            objects = self.buckets[bucket]
            known = objects.get(name)
            if known and (isinstance(known.content, MemoryContent) or known.content.is_current()):
                return known
            path = self._path(bucket, name)
            if path and os.path.isfile(path):
                return self._put(Object(name, FileContent(path, self.sums.of(FileContent(path))), self.next_generation()), bucket)
            objects.pop(name, None)
            return None

    def names(self, bucket: str) -> list[str]:
        """All objects' names, in the order of their UTF-8 bytes."""
        with self.lock:
            names = set(self.buckets[bucket])
            if self.folder:
                root = os.path.join(self.folder, bucket)
                for place, _, files in os.walk(root, followlinks=True):
                    relative = os.path.relpath(place, root)
                    prefix = "" if relative == "." else relative + "/"
                    names.update(prefix + file for file in files)
            return sorted(names, key=lambda name: name.encode())

    def next_generation(self) -> int:
        return next(self._generations)

    def _put(self, made: Object, bucket: str) -> Object:
        made.has_md5 = made.has_md5 and self.has_md5
        made.updated = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.buckets[bucket][made.name] = made
        self.made[f"{bucket}/{made.name}"] += 1
        return made

    def write(self, bucket: str, name: str, content: Content, resource: dict, **more) -> Object:
        """A new generation. The caller holds `lock` and has evaluated the preconditions."""
        path = self._path(bucket, name)
        if isinstance(content, FileContent) and path:
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(content.path, path)
            except OSError:  # a folder of that name exists: names of objects may do what paths cannot
                pass
            else:
                content = FileContent(path, content.crc(), content._md5)
        elif path and isinstance(content, MemoryContent) and os.path.isfile(path):
            os.unlink(path)
        made = Object(name, content, self.next_generation(), metadata=dict(resource.get("metadata") or {}),
                      content_type=resource.get("contentType") or "application/octet-stream",
                      content_encoding=resource.get("contentEncoding") or "", **more)
        return self._put(made, bucket)

    def remove(self, bucket: str, name: str) -> None:
        gone = self.buckets[bucket].pop(name, None)
        if gone and isinstance(gone.content, FileContent):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(gone.content.path)

    def joined(self, pieces: list[Content]) -> Content:
        """One content of several, in order; their CRCs are combined, nothing is read again for it."""
        crc = 0
        for piece in pieces:
            crc = crc32c.combine(crc, piece.crc(), piece.size)
        if not self.spools:
            return MemoryContent(b"".join(piece.read(0, piece.size) for piece in pieces), crc)
        with tempfile.NamedTemporaryFile(dir=self.spools, delete=False) as whole:
            for piece in pieces:
                piece.append_to(whole.fileno())
        return FileContent(whole.name, crc)
