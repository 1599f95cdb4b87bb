"""The official Kaggle client downloads from the stub as from Kaggle. Its test address, port 7777 of localhost, is fixed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from started import started

DOWNLOAD = "import sys, kagglehub; print(kagglehub.model_download(sys.argv[1]))"
HANDLE = "google/gemma/maxText/7b-it"
PORT = ("--port", "7777")


def make(folder: Path, count: int) -> Path:
    (folder / "7b-it/d").mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes(os.urandom(5000))
    for number in range(count - 1):
        (folder / f"7b-it/d/{number:03}").write_bytes(os.urandom(10_000 + number))
    return folder


def download(handle: str, cache: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", DOWNLOAD, handle], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLEHUB_CACHE": str(cache),
                               "HOME": str(cache), "DISABLE_COLAB_CACHE": "1", **environment})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("count", "ways"), [(5, "files"), (30, "archive")])
def test_download_equals_the_folder(tmp_path: Path, count: int, ways: str):
    folder = make(tmp_path / "model", count)
    with started("kaggle", *PORT, "--model", f"{HANDLE}/2={folder}", "--user", "me:key") as kaggle:
        done = download(HANDLE, tmp_path / "cache", KAGGLE_USERNAME="me", KAGGLE_KEY="key")
        assert done.returncode == 0, done.stderr
        where = done.stdout.strip().splitlines()[-1]
        assert contents(Path(where)) == contents(folder)
        downloads = [request for request in kaggle.requests() if request["path"].startswith("/kaggle-models-data/")]
        assert len(downloads) == (5 if ways == "files" else 1)


def test_token_licence_and_wrong_key(tmp_path: Path):
    folder = make(tmp_path / "model", 3)
    with started("kaggle", *PORT, "--model", f"{HANDLE}/2={folder}", "--user", "me:key", "--token", "KGAT_good",
                 "--licence", HANDLE, "--without-licence", "me") as kaggle:
        assert "403" in download(f"{HANDLE}/2", tmp_path / "a", KAGGLE_USERNAME="me", KAGGLE_KEY="key").stderr
        assert "401" in download(f"{HANDLE}/2", tmp_path / "b", KAGGLE_USERNAME="me", KAGGLE_KEY="wrong").stderr
        assert "404" in download(f"{HANDLE}/9", tmp_path / "c", KAGGLE_USERNAME="me", KAGGLE_KEY="key").stderr
        done = download(f"{HANDLE}/2", tmp_path / "d", KAGGLE_API_TOKEN="KGAT_good")
        assert done.returncode == 0, done.stderr
        assert 401 in [request["status"] for request in kaggle.requests()]
