"""Makes the judge's modules known to these tests, and keeps the real packages on the CPU and off the network."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "judge")]
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import ct_sources  # noqa: E402
from fixtures import program  # noqa: E402, F401

import pytest  # noqa: E402

import torch  # noqa: E402

torch.set_num_threads(1)  # the models are small


def pytest_addoption(parser):
    parser.addoption("--write-goldens", action="store_true", help="writes what the packages say to tests/golden/compressed-tensors-full")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """{family: folder}, with rows on which rounding shows."""
    made = {name: tmp_path_factory.mktemp(name) / "in" for name in ct_sources.FAMILIES}
    for name, folder in made.items():
        ct_sources.write(folder, name)
    return made
