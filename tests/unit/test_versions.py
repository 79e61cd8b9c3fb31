"""Which versions count as supported."""

from __future__ import annotations

from datetime import date

import pytest

from components.settings.versions import (
    DEFAULTS,
    RELEASES,
    Product,
    supported,
    supported_versions,
)

pytestmark = pytest.mark.unit

READ = date(2026, 11, 23)
"""When the table was read."""


@pytest.mark.parametrize("product", Product)
def test_a_default_stays_in_support_for_months_after_the_table_was_read(product: Product) -> None:
    assert supported(product, DEFAULTS[product], date(2027, 4, 1))
    assert DEFAULTS[product] in supported_versions(product, READ)


@pytest.mark.parametrize("product", Product)
def test_rows_are_ordered_by_version_and_say_where_they_come_from(product: Product) -> None:
    versions = [tuple(map(int, row.version.split("."))) for row in RELEASES[product]]
    assert versions == sorted(set(versions))
    assert all(row.source for row in RELEASES[product])


@pytest.mark.parametrize(
    ("product", "version", "fits"),
    [
        (Product.EKS, "1.36", True),
        (Product.EKS, "1.33", False),
        (Product.EKS, "1.29", False),  # older than the table
        (Product.EKS, "1.37", True),  # newer than the table
        (Product.RDS_POSTGRESQL, "17.6", True),
        (Product.RDS_POSTGRESQL, "1", False),
        (Product.RDS_POSTGRESQL, "18", True),
        (Product.RDS_MYSQL, "8.0.46", False),
        (Product.RDS_MYSQL, "8.1", False),  # never offered: a hole in the table
        (Product.RDS_MYSQL, "8.4", True),
    ],
)
def test_a_version_is_supported_until_its_last_day_and_when_it_is_too_new_to_be_known(
    product: Product, version: str, fits: bool
) -> None:
    assert supported(product, version, READ) is fits


def test_the_last_day_still_counts() -> None:
    assert supported(Product.EKS, "1.34", date(2026, 12, 2))
    assert not supported(Product.EKS, "1.34", date(2026, 12, 3))
