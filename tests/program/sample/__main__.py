"""A small correct program: what the offline runner and the strict checks are tried on."""

import json

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

config = pulumi.Config()
labels = {"app.kubernetes.io/name": "sample"}


class Server(pulumi.ComponentResource):
    """A password, a Secret, a ConfigMap, a Deployment that uses both, and a Service."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("sample:index:Server", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        password = random.RandomPassword(f"{name}-password", length=24, opts=child)
        secret = k8s.core.v1.Secret(
            f"{name}-secret",
            string_data={
                "PASSWORD": password.result,
                "TOKEN": config.require_secret("token"),
                "URI": pulumi.Output.concat("postgresql://app:", password.result, "@db/app"),
            },
            opts=child,
        )
        level = json.loads(config.require("server"))["logLevel"]
        settings = k8s.core.v1.ConfigMap(f"{name}-settings", data={"LOG_LEVEL": level}, opts=child)
        container = k8s.core.v1.ContainerArgs(
            name="server",
            image="docker.io/library/nginx:1.29.0",
            ports=[k8s.core.v1.ContainerPortArgs(container_port=8080)],
            env_from=[
                k8s.core.v1.EnvFromSourceArgs(
                    secret_ref=k8s.core.v1.SecretEnvSourceArgs(name=secret.metadata.name)
                ),
                k8s.core.v1.EnvFromSourceArgs(
                    config_map_ref=k8s.core.v1.ConfigMapEnvSourceArgs(name=settings.metadata.name)
                ),
            ],
        )
        self.deployment = k8s.apps.v1.Deployment(
            f"{name}-server",
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=config.require_int("replicas"),
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
                    spec=k8s.core.v1.PodSpecArgs(containers=[container]),
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=True, ignore_changes=["spec.replicas"]),
        )
        self.service = k8s.core.v1.Service(
            f"{name}-service",
            spec=k8s.core.v1.ServiceSpecArgs(
                selector=labels, ports=[k8s.core.v1.ServicePortArgs(port=80, target_port="http")]
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.deployment]),
        )
        self.register_outputs({"name": self.service.metadata.name})


server = Server("sample")
pulumi.export("address", server.service.spec.cluster_ip)
pulumi.export("service", server.service.metadata.name)
pulumi.export("replicas", config.require_int("replicas"))
pulumi.export("token", config.require_secret("token"))
