"""Plans of the real program, and the stacks that the tests of this folder go through."""

from __future__ import annotations

import functools
import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.program.aws_cases import AWS_CASES
from tests.program.azure_cases import AZURE_CASES
from tests.program.gcp_cases import FOUND, GCP_CASES
from tools.offline import Mocked, Plan, Preview, run

POSTGRESQL_URL = {"secure": "postgresql://mlflow:planted-pg-password@db.example.com:5432/mlflow"}
MYSQL_URL = {"secure": "mysql://mlflow:planted-my-password@db.example.com/mlflow"}
CA_BUNDLE = "-----BEGIN CERTIFICATE-----\nplanted\n-----END CERTIFICATE-----\n"

Settings = Mapping[str, Any]


def _store(uri: str, keys: dict[str, str], **more: str) -> Settings:
    return {
        "artifacts": {"uri": uri, "credentials": "store", **more},
        "secrets": {"store": {"keys": {name: {"secure": value} for name, value in keys.items()}}},
        "server": {"replicas": 2},
    }


_S3_KEYS = {"AWS_ACCESS_KEY_ID": "AKIA-planted-key-id", "AWS_SECRET_ACCESS_KEY": "planted-s3-secret"}

PRIVATE = {"example.com/load-balancer-scheme": "internal"}
"""What makes a load balancer private on the cluster of the cases."""

CASES: dict[str, Settings] = {
    "postgresql": {},
    "mysql": {"database": {"engine": "mysql"}},
    "sqlite": {"database": {"engine": "sqlite"}},
    "postgresql elsewhere": {"database": {"url": POSTGRESQL_URL}},
    "mysql elsewhere with an authority of its own": {
        "database": {"engine": "mysql", "url": MYSQL_URL, "caBundle": CA_BUNDLE}
    },
    "basic sign-in": {"auth": {"mode": "basic"}},
    "basic sign-in on sqlite": {"auth": {"mode": "basic"}, "database": {"engine": "sqlite"}},
    "artifacts on S3": _store("s3://bucket/mlflow", _S3_KEYS, region="eu-west-1"),
    "artifacts on an S3-compatible store": _store(
        "s3://bucket", _S3_KEYS, endpoint="https://minio.example.com:9000", caBundle=CA_BUNDLE
    ),
    "artifacts on GCS": _store("gs://bucket/mlflow", {"GOOGLE_CREDENTIALS": '{"key": "planted-google-key"}'}),
    "artifacts on Azure": _store(
        "wasbs://mlflow@account.blob.core.windows.net/runs", {"AZURE_STORAGE_ACCESS_KEY": "planted-azure-key"}
    ),
    "artifacts shared by replicas": {
        "artifacts": {"volume": {"accessMode": "ReadWriteMany", "size": "50Gi"}},
        "server": {"replicas": 3},
    },
    "no entrance": {"exposure": None},
    "load balancers": {
        "cluster": {"loadBalancer": True, "internalLoadBalancer": PRIVATE},
        "auth": {"mode": "basic"},
        "exposure": {
            "internal": {"allow": ["10.0.0.0/8"]},
            "external": {"host": "mlflow.example.com", "allow": ["203.0.113.0/24"]},
        },
    },
    "workloads of every kind": {
        "auth": {"mode": "basic"},
        "cluster": {"argoWorkflows": True},
        "jobs": {"train": {"git": {"repo": "https://git.example.com/team/churn.git"}}},
        "services": {"web": {"git": {"repo": "https://git.example.com/team/churn.git"}, "module": "web"}},
        "modelServers": {"churn": {"model": "models:/churn@champion"}},
        "pipelines": {
            name: {
                "engine": engine,
                "schedule": "@daily",
                "stages": {
                    "train": {"job": "train"},
                    "web": {"service": "web", "after": ["train"]},
                    "churn": {"modelServer": "churn", "after": ["train"]},
                },
            }
            for name, engine in (("daily", "plain"), ("by-argo", "argo"))
        },
    },
    "everything set": {
        "namespace": "team-a",
        "protect": True,
        "auth": {"mode": "basic", "adminUsername": "root.user", "defaultPermission": "NO_PERMISSIONS"},
        "logLevel": {"server": "DEBUG", "jobs": "WARNING", "launcher": "ERROR"},
        "database": {"volume": {"size": "20Gi", "storageClass": "fast"}},
        "secrets": {"extra": {"tokens": {"API_TOKEN": {"secure": "planted-api-token"}}}},
        "server": {
            "workers": 2,
            "tmpSize": "3Gi",
            "env": {"TEAM": "a"},
            "secrets": ["extra"],
            "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "3Gi"}},
        },
        "exposure": {"nodePort": {"port": 31234, "hosts": ["mlflow.test"]}},
    },
}
"""Name of a way to set up a stack → settings put over ``Pulumi.dev.yaml``."""


@functools.cache
def _planned(stack: str, preview: bool, settings: str) -> Plan:
    gc.disable()  # in the midst of a plan there is little to collect, and all earlier plans to look through
    try:
        return run(stack, answers=Preview() if preview else Fitting(), overrides=json.loads(settings))
    finally:
        gc.enable()


class Fitting(Mocked):
    """Makes everything up, but for what the program checks about existing things: those fit."""

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        return {**(super().looked_up(token, arguments) or {}), **FOUND.get(token, {})}


def plan(settings: Settings | None = None, *, stack: str = "dev", preview: bool = False) -> Plan:
    """The plan of the real program for a stack with some settings changed; the same one is made once.

    :param settings: secrets as ``{"secure": <plain text>}``.
    :param preview: with unknown values; otherwise everything is known and made-up values are marked.
    """
    return _planned(stack, preview, json.dumps(settings or {}))


ALL_CASES: Mapping[str, Settings] = {**CASES, **AWS_CASES, **GCP_CASES, **AZURE_CASES}

STACKS = (
    dict.fromkeys(AWS_CASES, "aws") | dict.fromkeys(GCP_CASES, "gcp") | dict.fromkeys(AZURE_CASES, "azure")
)
"""Case → its stack, where that is not dev."""


def plan_of(case: str, *, preview: bool = False) -> Plan:
    """The plan of one of `ALL_CASES`."""
    return plan(ALL_CASES[case], stack=STACKS.get(case, "dev"), preview=preview)


@pytest.fixture(params=ALL_CASES)
def case(request: pytest.FixtureRequest) -> str:
    """Each of `ALL_CASES` in turn: what holds for every stack on every cloud."""
    return request.param


@pytest.fixture(params=AWS_CASES)
def aws_case(request: pytest.FixtureRequest) -> str:
    """Each of the cases on AWS in turn."""
    return request.param


@pytest.fixture(params=GCP_CASES)
def gcp_case(request: pytest.FixtureRequest) -> str:
    """Each of the cases on Google Cloud in turn."""
    return request.param


SLOWEST_FIRST = ("aws", "dev", "gcp", "azure")


@pytest.fixture(params=AZURE_CASES)
def azure_case(request: pytest.FixtureRequest) -> str:
    """Each of the cases on Azure in turn."""
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of a cloud into one worker: its SDK is imported, and its plans are made, once.

    The slowest clouds begin, so that two workers end together.
    """
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.xdist_group(_stack_of(item)))
    items.sort(key=lambda item: SLOWEST_FIRST.index(_stack_of(item)) if item.path.parent == here else -1)


def _stack_of(item: pytest.Item) -> str:
    call = getattr(item, "callspec", None)
    parameters: Mapping[str, Any] = call.params if call else {}
    for name in ("case", "aws_case", "gcp_case", "azure_case"):
        if name in parameters:
            return STACKS.get(parameters[name], "dev")
    words = (parameters.get("stack"), *item.path.stem.split("_"))
    return next((stack for stack in ("aws", "azure", "gcp") if stack in words), "dev")
