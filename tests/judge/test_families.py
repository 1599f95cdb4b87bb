"""`ckpt families --check` tells what it proved of a table, and what it did not."""

import json

import pytest

import support

# Pairs of layers are stacked; a last one without a partner lies by itself, where REST holds.
TABLE = """family = "pairs"
schemes = ["hf", "flax"]
[dims]
L = { hf = "layers" }
e = { hf = "width" }
[[tensor]]
role = "layer.{l}.norm"
hf   = { name = "layers.{l}.norm", layout = "e" }
flax = [
  { name = "pairs_{l % 2}/scale", layout = "e [l / 2 of L / 2]", when = "l < L - L % 2" },
  { name = "rest/scale", layout = "e", when = "REST" } ]
"""
ALWAYS_USED, NEVER_USED = "l >= L - L % 2", "l > 100"


@pytest.fixture
def check(tmp_path):
    """Runs the check of the table with this condition of its last cell."""
    def run(rest, *flags):
        table = tmp_path / "pairs.toml"
        table.write_text(TABLE.replace("REST", rest))
        return support.run("families", "--check", table, *flags, expect=0).stdout
    return run


def test_a_cell_whose_condition_never_holds_is_told(check):
    assert "not proved: 1 cells whose condition" in check(NEVER_USED)
    assert json.loads(check(NEVER_USED, "--json"))["unused_cells"] == 1


def test_a_table_that_is_proved_whole_says_no_more(check):
    said = check(ALWAYS_USED)
    assert "all back bit for bit" in said
    assert "not proved" not in said
    assert json.loads(check(ALWAYS_USED, "--json"))["unused_cells"] == 0
