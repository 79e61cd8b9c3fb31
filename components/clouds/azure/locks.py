"""Locks of Azure's own on what holds data, for those who delete in the portal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization


@dataclass(frozen=True, kw_only=True)
class LocksArgs:
    """Inputs of :class:`Locks`.

    :param on: short name → id of what is locked.
    :param last_of: everything on or below it. A lock keeps all of that from being deleted, so it is made last
        and goes first.
    """

    on: Mapping[str, pulumi.Input[str]]
    last_of: Sequence[pulumi.Resource]


class Locks(pulumi.ComponentResource):
    """One lock against deletion on each (Azure Resource Manager, "Lock your resources")."""

    def __init__(self, name: str, args: LocksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:Locks", name, {}, opts)
        for short, scope in args.on.items():
            authorization.ManagementLockByScope(
                f"{name}-{short}",
                lock_name="mlflow",
                scope=scope,
                level=authorization.LockLevel.CAN_NOT_DELETE,
                notes="MLflow: holds data; mlflow:azure.locks takes this away",
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.last_of)),
            )
        self.register_outputs({})
