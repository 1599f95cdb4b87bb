"""Bytes that a stub serves: in memory, or in a file that is never loaded."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading

import crc32c


class MemoryContent:
    """Bytes of an object, in memory."""

    def __init__(self, data: bytes, crc: int | None = None, md5: bytes | None = None):
        self.data = data
        self.size = len(data)
        self._crc, self._md5 = crc, md5

    def crc(self) -> int:
        if self._crc is None:
            self._crc = crc32c.crc32c(self.data)
        return self._crc

    def md5(self) -> bytes:
        if self._md5 is None:
            self._md5 = hashlib.md5(self.data).digest()
        return self._md5

    def read(self, begin: int, end: int) -> bytes:
        return self.data[begin:end]

    def append_to(self, descriptor: int) -> None:
        os.write(descriptor, self.data)

    def open(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def send(self, sink: socket.socket, opened, begin: int, end: int) -> None:
        sink.sendall(memoryview(self.data)[begin:end])


class FileContent:
    """Bytes of an object, in a file that is never loaded: it may be sparse and far larger than the memory."""

    MD5_LIMIT = 64 << 20  # no MD5 of larger ones, as of composed objects: it would take longer than a client waits

    def __init__(self, path: str, crc: int | None = None, md5: bytes | None = None):
        self.path = path
        stat = os.stat(path)
        self.size, self.modified_ns = stat.st_size, stat.st_mtime_ns
        self._crc, self._md5 = crc, md5
        self._lock = threading.Lock()

    def is_current(self) -> bool:
        """Whether the file is still the one that was found."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.modified_ns)

    def crc(self) -> int:
        with self._lock:
            if self._crc is None:
                self._crc = crc32c.of_file(self.path)
            return self._crc

    def md5(self) -> bytes | None:
        with self._lock:
            if self._md5 is None and self.size <= self.MD5_LIMIT:
                with open(self.path, "rb") as file:
                    self._md5 = hashlib.file_digest(file, "md5").digest()
            return self._md5

    def read(self, begin: int, end: int) -> bytes:
        with open(self.path, "rb") as file:
            return os.pread(file.fileno(), end - begin, begin)

    def append_to(self, descriptor: int) -> None:
        """To another file, where it stands; the kernel copies."""
        with open(self.path, "rb", buffering=0) as file:
            left = self.size
            while left:
                copied = os.copy_file_range(file.fileno(), descriptor, left)
                if copied == 0:
                    raise ConnectionError(f"{self.path} became shorter")
                left -= copied

    def open(self) -> contextlib.AbstractContextManager:
        """The file. Raises ConnectionError where another one has taken its place since: whoever asked asks again."""
        file = open(self.path, "rb", buffering=0)
        stat = os.fstat(file.fileno())
        if (stat.st_size, stat.st_mtime_ns) != (self.size, self.modified_ns):
            file.close()
            raise ConnectionError(f"{self.path} is another file now")
        return file

    def send(self, sink: socket.socket, opened, begin: int, end: int) -> None:
        while begin < end:
            if isinstance(sink, ssl.SSLSocket):  # the kernel cannot encrypt
                piece = os.pread(opened.fileno(), min(end - begin, 1 << 20), begin)
                sink.sendall(piece)
                sent = len(piece)
            else:
                sent = os.sendfile(sink.fileno(), opened.fileno(), begin, end - begin)
            if sent == 0:
                raise ConnectionError(f"{self.path} became shorter")
            begin += sent


Content = MemoryContent | FileContent
