"""`make validate`: the stack file, the code it names, and on its cluster manifests and network policies.

Exit code 1 when something would fail; warnings alone leave it 0.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pulumi.automation import CommandError
from rich.markup import escape

from components.settings import AnyStack, Cloud
from components.settings.aws import AwsStack
from components.settings.azure import AzureStack
from components.settings.existing import ExistingStack
from components.settings.gcp import GcpStack
from tools.access import aws, azure, gcp, kubectl_with, local_kubectl, named_kubectl
from tools.common import ROOT, Failure, cli, console, step
from tools.deployed import find
from tools.engine.place import load, place_of
from tools.engine.verbs import parse
from tools.engine.workspace import open_stack
from tools.offline.rendered import Rendered
from tools.plan import offline
from tools.render import manifests
from tools.settings import settings_of
from tools.validate import ClusterAccess, Finding, Subject, reason
from tools.validate.azure import rights
from tools.validate.classes import classes
from tools.validate.dry_run import dry_run
from tools.validate.existing import existing
from tools.validate.network_policy import network_policy
from tools.validate.ports import ports
from tools.validate.sources import described, sources

Check = Callable[[Subject], Iterator[Finding]]
ANYWHERE: tuple[tuple[str, Check], ...] = (("Code of jobs and services", sources),)
CHECKS: tuple[tuple[str, Check], ...] = (
    ("What others have made", existing),
    ("Storage and ingress classes", classes),
    ("Node ports", ports),
    ("Manifests, judged by the API server", dry_run),
    ("Network policies, tried with two pods", network_policy),
)


def main(argv: list[str]) -> int:
    stack = parse(argv, __doc__ or "")
    # A run that is ended by its service manager cleans up as one that is ended by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with step(f"Settings of stack {stack}"):
        settings = settings_of(stack)
    with step("The program's plan"):
        plan = offline(stack, Rendered(fresh=False))
    found = [Finding("mlflow", problem) for problem in plan.problems]
    cluster, image, reason = reach(stack, settings)
    known, undecrypted = credentials(stack, settings)
    found += undecrypted
    subject = Subject(stack, settings, [each.content for each in manifests(plan)], cluster, image, known)
    for title, check in ANYWHERE:
        with step(title):
            found += check(subject)
    if isinstance(settings, AzureStack):
        with step("Your rights in Azure"):
            found += rights(settings, plan, load(place_of(stack).tracked).get("config") or {})
    if cluster is None:
        found.append(Finding("mlflow:cluster", f"nothing was checked on the cluster: {reason}", fails=False))
    else:
        for title, check in CHECKS:
            with step(title):
                found += check(subject)
    return tell(stack, found)


def tell(stack: str, found: list[Finding]) -> int:
    """Print the findings, a line each, what fails first; the exit code."""
    for each in sorted(dict.fromkeys(found), key=lambda finding: not finding.fails):
        word = "[bold red]fails:[/]" if each.fails else "[yellow]warning:[/]"
        console.print(f"  {word} [bold]{escape(each.key)}[/] {escape(each.text)}")
    failing = sum(each.fails for each in found)
    console.print(
        f"[red]✗[/] stack {stack}: {failing} to mend" if failing else f"[green]✓[/] stack {stack} is sound"
    )
    return 1 if failing else 0


def credentials(stack: str, settings: AnyStack) -> tuple[dict[str, dict[str, str]], list[Finding]]:
    """What the secret groups hold that open private repositories: only Pulumi's CLI can decrypt it."""
    gits = [asked.code.git for asked in described(settings)]
    wanted = {git.credentials for git in gits if git and git.credentials}
    if not wanted:
        return {}, []
    try:
        with step("Credentials of private repositories"):
            opened = open_stack(stack)
            key = f"{place_of(stack).project()['name']}:secrets"
            groups = json.loads(opened.get_config(key).value)
    except (Failure, CommandError) as failure:
        text = f"cannot be decrypted here, and private repositories not be looked into: {reason(failure)}"
        return {}, [Finding("mlflow:secrets", text, fails=False)]
    named = {name: groups[name].values() for name in wanted if name in groups}
    return {name: {k: v for one in secrets for k, v in one.items()} for name, secrets in named.items()}, []


def reach(stack: str, settings: AnyStack) -> tuple[ClusterAccess | None, str | None, str]:
    """The cluster and a server image on it; where there is no way to it, the reason."""
    try:
        if settings.cloud is Cloud.DEV:
            command, image = local_kubectl(stack), settings.images.server or _built_image(ROOT)
        elif isinstance(settings, ExistingStack):
            command, image = named_kubectl(stack), None
        elif existing := _existing(stack, settings):
            command, image = kubectl_with(stack, existing), settings.images.server
        else:
            deployed = find(stack)
            command, image = deployed.kubectl_command, deployed.outputs["images"]["server"]
        cluster = ClusterAccess(command)
        cluster.kubectl("version", "--request-timeout=10s", limit=30)
    except Failure as failure:
        return None, None, reason(failure)
    return cluster, image, ""


def _existing(stack: str, settings: AnyStack) -> str | None:
    """A kubeconfig of the cluster that the settings name; None where the stack makes one."""
    if not isinstance(settings, AwsStack | AzureStack | GcpStack) or settings.cluster.existing is None:
        return None
    config = load(place_of(stack).tracked).get("config") or {}
    if isinstance(settings, AzureStack):
        subscription = config.get("azure-native:subscriptionId")
        return azure.kubeconfig(settings.cluster.existing, str(settings.cluster.resource_group), subscription)
    if isinstance(settings, GcpStack):
        location = settings.cluster.location or _named(config, "gcp:region")
        return gcp.kubeconfig(settings.cluster.existing, location, _named(config, "gcp:project"))
    region = _named(config, "aws:region")
    return aws.kubeconfig(settings.cluster.existing, region, config.get("aws:profile"))


def _named(config: Mapping[str, Any], key: str) -> str:
    if not config.get(key):
        raise Failure(f"the stack names no {key.partition(':')[2]}: set {key}")
    return config[key]


def _built_image(root: Path) -> str | None:
    """The server image that `make images` left."""
    note = root / ".local" / "images.json"
    images = json.loads(note.read_text())["images"] if note.exists() else {}
    return images.get("tracking-server", {}).get("reference")


if __name__ == "__main__":
    cli(main)
