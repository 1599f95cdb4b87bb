"""What the stub of the hub holds, and the token that it takes."""

import support

LLAMA3 = support.GOLDEN / "jetstream-pytorch/llama-3-hf/input"
LLAMA31 = support.GOLDEN / "maxtext/llama3.1/hf"
TOKEN = "hf_plantedPLANTEDplanted0000"
