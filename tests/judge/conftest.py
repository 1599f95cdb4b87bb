"""Makes the fixtures known to the judge tests."""

from fixtures import bench_model, disk, program, pytest_configure, smollm2, sparse_8gb  # noqa: F401
