"""Which versions of Kubernetes and databases a cloud still looks after, and the defaults.

"Standard support" is the time in which a version costs nothing extra and gets every fix. After it comes a
paid extended support (on EKS at six times the price) or a forced upgrade, so new stacks never start there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import NamedTuple


class Product(StrEnum):
    """What has a version, by the name an error uses."""

    EKS = "Amazon EKS"
    GKE = "Google Kubernetes Engine"
    AKS = "Azure Kubernetes Service"
    RDS_POSTGRESQL = "Amazon RDS for PostgreSQL"
    RDS_MYSQL = "Amazon RDS for MySQL"
    CLOUD_SQL_POSTGRESQL = "Cloud SQL for PostgreSQL"
    CLOUD_SQL_MYSQL = "Cloud SQL for MySQL"
    AZURE_POSTGRESQL = "Azure Database for PostgreSQL"
    AZURE_MYSQL = "Azure Database for MySQL"


class Release(NamedTuple):
    """A version, the last day of its standard support (None: not announced), and where that is written."""

    version: str
    ends: date | None
    source: str


EKS_DOCS = "docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html"
EKS_EOL = "endoflife.date/amazon-eks"
GKE_EOL = "endoflife.date/google-kubernetes-engine"
AKS_DOCS = "learn.microsoft.com/azure/aks/supported-kubernetes-versions (last day of the month it names)"
RDS_PG_EOL = "endoflife.date/amazon-rds-postgresql"
RDS_MYSQL_EOL = "endoflife.date/amazon-rds-mysql"
SQL_PG_DOCS = "cloud.google.com/sql/docs/postgres/db-versions (the day before extended support starts)"
SQL_MYSQL_DOCS = "cloud.google.com/sql/docs/mysql/db-versions (the day before extended support starts)"
AZURE_PG_EOL = "endoflife.date/azure-database-for-postgresql"
AZURE_MYSQL_EOL = "endoflife.date/azure-database-for-mysql"

RELEASES: Mapping[Product, tuple[Release, ...]] = {
    Product.EKS: (
        Release("1.32", date(2026, 3, 23), EKS_DOCS),
        Release("1.33", date(2026, 7, 29), EKS_DOCS),
        Release("1.34", date(2026, 12, 2), EKS_DOCS),
        Release("1.35", date(2027, 3, 27), EKS_EOL),
        Release("1.36", date(2027, 8, 2), EKS_EOL),
    ),
    Product.GKE: (
        Release("1.33", date(2026, 8, 3), GKE_EOL),
        Release("1.34", date(2026, 10, 1), GKE_EOL),
        Release("1.35", date(2027, 4, 11), GKE_EOL),
    ),
    Product.AKS: (
        Release("1.33", date(2026, 7, 31), AKS_DOCS),
        Release("1.34", date(2026, 11, 30), AKS_DOCS),
        Release("1.35", date(2027, 3, 31), AKS_DOCS),
        Release("1.36", date(2027, 6, 30), AKS_DOCS),
        Release("1.37", date(2027, 10, 31), AKS_DOCS),
    ),
    Product.RDS_POSTGRESQL: (
        Release("13", date(2026, 2, 28), RDS_PG_EOL),
        Release("14", date(2027, 2, 28), RDS_PG_EOL),
        Release("15", date(2028, 2, 29), RDS_PG_EOL),
        Release("16", date(2029, 2, 28), RDS_PG_EOL),
        Release("17", date(2030, 2, 28), RDS_PG_EOL),
    ),
    Product.RDS_MYSQL: (
        Release("8.0", date(2026, 7, 31), RDS_MYSQL_EOL),
        Release("8.4", date(2029, 7, 31), RDS_MYSQL_EOL),
    ),
    Product.CLOUD_SQL_POSTGRESQL: (
        Release("13", date(2026, 1, 31), SQL_PG_DOCS),
        Release("14", date(2027, 1, 31), SQL_PG_DOCS),
        Release("15", date(2028, 1, 31), SQL_PG_DOCS),
        Release("16", date(2029, 1, 31), SQL_PG_DOCS),
        Release("17", date(2030, 1, 31), SQL_PG_DOCS),
    ),
    Product.CLOUD_SQL_MYSQL: (
        Release("8.0", date(2026, 6, 30), SQL_MYSQL_DOCS),
        Release("8.4", None, SQL_MYSQL_DOCS),
    ),
    Product.AZURE_POSTGRESQL: (
        Release("13", date(2026, 7, 31), AZURE_PG_EOL),
        Release("14", date(2026, 12, 11), AZURE_PG_EOL),
        Release("15", date(2027, 11, 11), AZURE_PG_EOL),
        Release("16", date(2028, 11, 9), AZURE_PG_EOL),
        Release("17", date(2029, 11, 8), AZURE_PG_EOL),
        Release("18", date(2030, 11, 14), AZURE_PG_EOL),
    ),
    Product.AZURE_MYSQL: (
        Release("8.0", date(2027, 1, 31), AZURE_MYSQL_EOL),
        Release("8.4", None, AZURE_MYSQL_EOL),
    ),
}
"""Product → its releases, oldest first. All were read in November 2026."""

DEFAULTS: Mapping[Product, str] = {
    Product.EKS: "1.36",
    Product.GKE: "1.35",
    Product.AKS: "1.36",
    Product.RDS_POSTGRESQL: "17",
    Product.RDS_MYSQL: "8.4",
    Product.CLOUD_SQL_POSTGRESQL: "17",
    Product.CLOUD_SQL_MYSQL: "8.4",
    Product.AZURE_POSTGRESQL: "17",
    Product.AZURE_MYSQL: "8.4",
}
"""Product → the version of a new one when the stack names none: well supported, and not the very newest."""


def release(product: Product, version: str) -> Release | None:
    """The row of a version such as 1.36, 17, 17.6 or 8.4.5; None where the table has none."""
    return next((row for row in RELEASES[product] if f"{version}.".startswith(f"{row.version}.")), None)


def supported(product: Product, version: str, today: date) -> bool:
    """Whether a version is in standard support.

    One that is newer than the whole table is: the cloud refuses what it does not have, and a table that lags
    must not stand in the way. One that is older than the whole table, or a hole in it, is not.
    """
    row = release(product, version)
    if row is None:
        return _numbers(version) > _numbers(RELEASES[product][-1].version)
    return row.ends is None or today <= row.ends


def supported_versions(product: Product, today: date) -> list[str]:
    """The versions in standard support that the table knows, oldest first; what an error offers instead."""
    return [row.version for row in RELEASES[product] if supported(product, row.version, today)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
