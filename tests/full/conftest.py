"""Makes the judge's modules known to these tests, and keeps the real packages on the CPU and off the network."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "judge")]
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from fixtures import program  # noqa: E402, F401

import torch  # noqa: E402

torch.set_num_threads(1)  # the models are small


def pytest_addoption(parser):
    parser.addoption("--write-goldens", action="store_true", help="writes what the packages say to tests/golden/compressed-tensors-full")
