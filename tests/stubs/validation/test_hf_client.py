"""The official Hugging Face client downloads from the stub as from the Hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from started import started

DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
revision = sys.argv[2] or None
print(snapshot_download(sys.argv[1], revision=revision, token=sys.argv[3] or False, cache_dir=sys.argv[4]))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "sub/notes.txt").write_text("notes\n")
    (folder / "model-00001-of-00002.safetensors").write_bytes(os.urandom(3_000_000))
    (folder / "model-00002-of-00002.safetensors").write_bytes(os.urandom(200_001))
    return folder


def download(url: str, cache: Path, repo: str, revision: str = "", token: str = "") -> subprocess.CompletedProcess:
    """In a process of its own: the client reads its endpoint once, when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                   "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run([sys.executable, "-c", DOWNLOAD, repo, revision, token, str(cache / "hub")], env=environment,
                          capture_output=True, text=True, timeout=120, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("repo", ["org/name", "old/name"])
def test_snapshot_equals_the_folder(model: Path, tmp_path: Path, repo: str):
    with started("hf", "--repo", f"org/name={model}", "--renamed", "old/name=org/name", "--lfs-over", "100000",
                 "--page-size", "2", "--tokens", "hf_good") as hub:
        done = download(hub.url, tmp_path / "cache", repo, token="hf_good")
        assert done.returncode == 0, done.stderr
        assert contents(Path(done.stdout.strip())) == contents(model)
        cdn_port = int(hub.said["cdn"].rpartition(":")[2])
        at_cdn = [request for request in hub.requests() if request["port"] == cdn_port]
        assert at_cdn and not any(request["authorization"] for request in at_cdn)
        assert any(request["authorization"] for request in hub.requests())


def test_revision_and_gate(model: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with started("hf", "--repo", f"org/name={model}", "--revision", f"org/name@refs/pr/1={other}", "--gated", "org/name",
                 "--tokens", "hf_plain", "--accepted", "hf_good") as hub:
        done = download(hub.url, tmp_path / "cache", "org/name", "refs/pr/1", "hf_good")
        assert done.returncode == 0, done.stderr
        assert contents(Path(done.stdout.strip())) == contents(other)
        assert "GatedRepoError" in download(hub.url, tmp_path / "none", "org/name").stderr
        assert "GatedRepoError" in download(hub.url, tmp_path / "plain", "org/name", token="hf_plain").stderr
        assert "RepositoryNotFoundError" in download(hub.url, tmp_path / "missing", "org/none", token="hf_plain").stderr
        assert "RevisionNotFoundError" in download(hub.url, tmp_path / "rev", "org/name", "v9", "hf_good").stderr


def test_client_waits_out_a_rate_limit(model: Path, tmp_path: Path):
    with started("hf", "--repo", f"org/name={model}") as hub:
        hub.faults([{"path": "/resolve/", "times": 1, "rate_limit": 1}])
        done = download(hub.url, tmp_path / "cache", "org/name")
        assert done.returncode == 0, done.stderr
        assert 429 in [request["status"] for request in hub.requests()]
