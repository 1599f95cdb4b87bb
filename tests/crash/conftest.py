"""Makes the judge's fixtures and modules known to the crash tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))

from fixtures import bench_model, disk, program, pytest_configure, smollm2, sparse_8gb  # noqa: E402, F401
