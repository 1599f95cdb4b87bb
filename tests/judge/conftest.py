"""Makes the fixtures known to the judge tests, and puts the long files first."""

import pytest

from fixtures import bench_model, disk, program, pytest_configure, smollm2, sparse_8gb  # noqa: F401

# Half a minute each and more, those that wait for the disk among those that compute: at the end of a run of several workers, files of
# which each is one worker's, neither should be left alone. Also of the folders that run with this one.
LONG = ("maxtext_budget", "maxtext_restore", "words", "budget", "maxtext_large", "to_buckets", "mixtral", "compressed_tensors_runs", "faults",
        "torch", "one_shard_405b", "gemma3_270m", "maxtext_forward", "gemma", "traces", "maxtext_killed", "smollm2", "maxtext_damage", "hf_back",
        "hf_to_buckets", "conversions", "compressed_tensors", "secrets", "diff")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
