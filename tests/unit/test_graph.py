"""The drawing of a stack's plan: boxes, arrows, and what it leaves out."""

from __future__ import annotations

from tools.graph import page_of
from tools.offline import Plan, Resource


def resource(name: str, kind: str, parent: str = "", *needs: str, component: bool = False) -> Resource:
    return Resource(
        urn=name, type=kind, name=name, parent=parent, component=component, inputs={}, depends_on=list(needs)
    )


def component(name: str, kind: str, parent: str = "") -> Resource:
    return resource(name, kind, parent, component=True)


PLAN = Plan(
    stack="team",
    project="mlflow",
    resources=[
        component("net", "mlflow:aws:Network"),
        resource("vpc", "aws:ec2/vpc:Vpc", "net"),
        resource("subnet-0", "aws:ec2/subnet:Subnet", "net", "vpc"),
        resource("subnet-1", "aws:ec2/subnet:Subnet", "net", "vpc"),
        component("cluster", "mlflow:aws:ControlPlane"),
        component("cluster-role", "mlflow:aws:Role", "cluster"),
        resource("role", "aws:iam/role:Role", "cluster-role"),
        resource("eks", "aws:eks/cluster:Cluster", "cluster", "role", "subnet-0"),
        component("whole", "mlflow:tracking:Tracking"),
        component("server", "mlflow:tracking:Server", "whole"),
        resource("deployment", "kubernetes:apps/v1:Deployment", "server", "eks", "vpc"),
        resource("provider", "pulumi:providers:aws"),
    ],
    outputs={},
    problems=[],
    messages=[],
)


def test_a_box_is_a_component_and_a_part_of_one_is_drawn_with_it() -> None:
    page = page_of(PLAN)
    assert '["net"]' in page
    assert '["cluster"]' in page
    assert '["server"]' in page
    assert "cluster-role" not in page, "a part of the cluster"
    assert "whole" not in page, "it holds components only"
    assert "provider" not in page


def test_arrows_follow_the_order_and_say_nothing_twice() -> None:
    arrows = [line.strip() for line in page_of(PLAN).splitlines() if "-->" in line]
    assert arrows == ["c0 --> c1", "c1 --> c2"], "net before server follows from the two"


def test_resources_are_counted_by_kind() -> None:
    assert "| net | 2 × ec2 Subnet, ec2 Vpc |" in page_of(PLAN)
    assert "| cluster | eks Cluster, iam Role |" in page_of(PLAN)
    assert "| server | Deployment |" in page_of(PLAN)
