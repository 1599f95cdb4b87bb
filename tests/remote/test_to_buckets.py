"""From the hub or a bucket to a bucket: the bytes of the local conversion, within the budget, with nothing on the disk."""

import json
import subprocess
from pathlib import Path

import pytest

import real_orbax
import support
from repositories import LLAMA3, LLAMA31
from started import Stub, started

KINDS = ["bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"]
OUTPUTS = ("scanned", "unscanned", "int8", "int4w")
BUDGET = 256 * support.MIB


def objects(buckets: Stub, folder: str) -> dict[str, bytes]:
    """What lies below a folder of bkt, but for the run's state."""
    return {name.removeprefix(folder + "/"): buckets.get(f"bkt/{name}") for name in buckets.names("bkt")
            if name.startswith(folder + "/") and "/.ckpt-state/" not in name}


def report(buckets: Stub, folder: str) -> dict:
    return json.loads(buckets.get(f"bkt/{folder}/.ckpt-state/report.json"))


DIGESTS = """
import hashlib, json, sys
import tensorstore
def digests(base):
    spec = {"driver": "ocdbt", "base": base}
    names = [key.decode() for key in tensorstore.KvStore.open(spec).result().list().result()]
    found = {}
    for name in sorted(name.removesuffix("/zarr.json") for name in names if name.endswith("/zarr.json")):
        array = tensorstore.open({"driver": "zarr3", "kvstore": {**spec, "path": name}}, open=True).result()
        found[name] = [str(array.dtype), list(array.shape), hashlib.sha256(array.read().result().tobytes()).hexdigest()]
    return found
print(json.dumps([digests(base) for base in sys.argv[1:]]))
"""


def tensorstore_reads(server: str, *places: str) -> list[dict]:
    """{array: dtype, shape, digest} of checkpoints as the library below Orbax reads them; `server` has what is in gs://."""
    env = {"TENSORSTORE_GCS_HTTP_URL": server, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([real_orbax.python(real_orbax.NEWEST), "-c", DIGESTS, *places], env=env,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def hold_maxtext(buckets, below: str, disk: Path, *flags: str) -> None:
    """What is made of the hub's model in a bucket of `buckets` (a server) has the bytes of the local conversion."""
    support.convert_maxtext("org/llama31", f"gs://bkt/{below}", OUTPUTS, *flags, model="llama3.1-8b")
    support.convert_maxtext(LLAMA31, disk / "out", OUTPUTS, *flags, model="llama3.1-8b")
    local = {path: (disk / "out" / path).read_bytes() for path in support.outputs_of(disk / "out")}
    assert objects(buckets, below) == local
    support.run("verify", f"gs://bkt/{below}", expect=0)


def hold_by_tensorstore(buckets, below: str, disk: Path) -> None:
    """TensorStore opens every array over HTTP, and finds what it finds in the local output."""
    support.convert_maxtext(LLAMA31, f"gs://bkt/{below}", ("scanned", "int8"), model="llama3.1-8b")
    support.convert_maxtext(LLAMA31, disk / "out", ("scanned", "int8"), model="llama3.1-8b")
    for name in ("scanned", "int8"):
        place = support.MAXTEXT_PATHS.get(name, name)
        remote, local = tensorstore_reads(buckets.url, f"gs://bkt/{below}/{place}", f"file://{support.items(disk / 'out', name)}/")
        assert len(remote) > 10 and remote == local


@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_from_the_hub_into_a_bucket_is_the_golden(kind: str, below: str, buckets: Stub, hub: Stub):
    support.convert("org/llama3", f"gs://bkt/{below}", kind=kind)
    made = objects(buckets, below)
    golden = support.GOLDEN / f"jetstream-pytorch/llama-3-hf/{kind}/model.safetensors"
    assert made["model.safetensors"] == golden.read_bytes()
    told = report(buckets, below)
    assert told["network"]["retries"] == {}
    assert told["network"]["requests"] <= len(hub.requests()) + len(buckets.requests()) + 16
    support.run("verify", f"gs://bkt/{below}", expect=0)
    support.run("verify", f"gs://bkt/{below}", "--source", "org/llama3", expect=0)


@pytest.mark.parametrize("flags", [(), ("--compression", "zstd:1"), ("--orbax-layout", "pathways")], ids=" ".join)
def test_maxtext_from_the_hub_into_a_bucket_is_the_local_conversion(flags: tuple, below: str, buckets: Stub, disk: Path):
    hold_maxtext(buckets, below, disk, *flags)


def test_tensorstore_reads_the_output_from_the_bucket(below: str, buckets: Stub, disk: Path):
    hold_by_tensorstore(buckets, below, disk)


def test_a_checkpoint_in_a_bucket_is_a_source(below: str, buckets: Stub, disk: Path):
    """Orbax in, JetStream-PyTorch out, both in buckets: what the same gives with folders."""
    for place in (f"gs://bkt/{below}", disk):
        support.convert_maxtext(LLAMA3, f"{place}/in", ("unscanned",), model="llama3-8b")
        support.convert(support.items(f"{place}/in", "unscanned") if place is disk else
                        f"{place}/in/{support.MAXTEXT_PATHS['unscanned']}", f"{place}/out")
    assert buckets.get(f"bkt/{below}/out/model.safetensors") == (disk / "out/model.safetensors").read_bytes()


def test_one_file_of_a_bucket_is_a_source(below: str, buckets: Stub):
    path = next(LLAMA31.glob("*.safetensors"))
    for file in LLAMA31.iterdir():
        buckets.put(f"bkt/{below}/{file.name}", file.read_bytes())
    told = json.loads(support.run("inspect", f"gs://bkt/{below}/{path.name}", "--json", expect=0).stdout)
    assert told == json.loads(support.run("inspect", path, "--json", expect=0).stdout)


def test_inspecting_reads_headers_only(hub: Stub, bench_model: Path):
    """983.6 MB in the repository: what was fetched is told, and is little."""
    with started("hf", "--repo", f"org/bench={bench_model}") as large:
        env = {"HF_ENDPOINT": large.url}
        done = subprocess.run([support.PROGRAM, "plan", "org/bench", "--to", "maxtext", "--outputs", "scanned"],
                              env={**env, "PATH": "/usr/bin"}, capture_output=True, text=True, check=True)
        sent = sum(request["bytes_out"] for request in large.requests())
    assert "network: " in done.stdout
    assert sent < support.MIB, sent


@pytest.mark.parametrize("target", ["jetstream-pytorch", "maxtext"])
def test_a_model_passes_within_the_budget_and_leaves_the_disk_alone(target: str, below: str, bench_model: Path, disk: Path,
                                                                    monkeypatch: pytest.MonkeyPatch):
    """983.6 MB from the hub into a bucket with 16 connections: peak RSS, no block written, bytes as by files."""
    flags = ["--to", "maxtext", "--outputs", "scanned,int8"] if target == "maxtext" else ["--to", target]
    flags += ["--memory", "256MiB"]
    (disk / "buckets/bkt").mkdir(parents=True)
    with started("hf", "--repo", f"org/bench={bench_model}") as hub, \
            started("gcs", "--folder", str(disk / "buckets")) as buckets:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", buckets.url)
        ran = support.run("convert", "org/bench", f"gs://bkt/{below}", *flags, expect=0, timeout=900)
        print(f"peak RSS {ran.peak_rss_bytes / support.MIB:.0f} MiB, {ran.wall_s:.1f} s, {ran.cpu_s:.1f} s CPU")
        assert ran.peak_rss_bytes <= BUDGET + 64 * support.MIB
        assert ran.written_blocks == 0
        support.run("convert", bench_model, disk / "out", *flags, expect=0)
        made = {name: digest for name, digest in support.contents(disk / "buckets/bkt" / below).items()
                if not name.startswith(".ckpt-state/")}
        assert made == support.outputs_of(disk / "out")
