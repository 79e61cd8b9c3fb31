"""docs/aws.md: what its prices say of themselves."""

from __future__ import annotations

import re

import pytest
import yaml

from tools.common import ROOT

pytestmark = pytest.mark.unit

PAGE = (ROOT / "docs/aws.md").read_text()
COSTS = PAGE.partition("## What it costs\n")[2].partition("\n## ")[0]
AMOUNT = re.compile(r"^[0-9]+(\.[0-9]{2})?")


def rows() -> list[list[str]]:
    """The table's cells: line, price, production example, smallest, where it was read."""
    found = [line for line in COSTS.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1:]]


def amounts(column: int) -> list[float]:
    return [float(found[0]) for row in rows()[:-1] if (found := AMOUNT.match(row[column]))]


@pytest.mark.parametrize("column", [2, 3], ids=["production", "smallest"])
def test_the_prices_add_up_to_the_sum(column: int):
    assert len(amounts(column)) > 5
    assert rows()[-1][column].strip("*").startswith(f"{sum(amounts(column)):.2f}")


def test_each_price_names_the_page_where_it_was_read_and_the_rest_says_that_it_has_none():
    sources = dict(re.findall(r"^(\d+)\. ([a-z0-9.-]+\.[a-z]+)/", COSTS, re.MULTILINE))
    for name, price, production, smallest, read in rows()[:-1]:
        if read:
            assert read.strip("[]") in sources, name
        else:
            assert {price, production, smallest} == {"not priced"}, name
    assert re.search(r"^All were read in \w+ 20\d\d\.$", COSTS, re.MULTILINE)


def test_what_is_priced_is_what_the_examples_say():
    smallest = re.search(
        r"^```yaml\n(.*?)^```", PAGE.partition("## The smallest")[2], re.MULTILINE | re.DOTALL
    )
    assert smallest
    examples = [(ROOT / "Pulumi.aws.yaml").read_text(), smallest[1]]
    for column, text in zip((2, 3), examples, strict=True):
        config = yaml.safe_load(text)["config"]
        nodes = (config["mlflow:cluster"].get("create") or {}).get("nodes") or {}
        priced = " ".join(row[0] for row in rows() if AMOUNT.match(row[column]))
        for size in filter(None, (config["mlflow:database"]["size"], nodes.get("size"))):
            assert size in priced
