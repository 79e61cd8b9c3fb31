"""``make render STACK=s OUT=dir``: the Kubernetes part of a stack as YAML files, one object each.

Files sort in the order in which the objects can be applied.  Names that the cluster would make up are
made here: the resource's name and eight hexadecimal digits, the same on every run.  They follow from the
object's content where Pulumi would replace a changed object (ConfigMap, Secret, Job, Pod), so that applying
a changed rendering rolls what depends on it.

Secrets read ``[secret]``.  With ``--show-secrets`` they are written out, into files that only their owner
can read; generated passwords are then drawn anew, so the result can be applied, and is never the stack's own.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.markup import escape

from tools.common import Failure, cli, console, step
from tools.offline import SECRET_TEXT, UNKNOWN_TEXT, Plan, Resource
from tools.offline.rendered import Rendered
from tools.offline.wire import leaves, plain, unwrap
from tools.plan import offline, report

CLUSTER_SCOPED = {
    "Namespace", "PersistentVolume", "StorageClass", "PriorityClass", "ClusterRole", "ClusterRoleBinding",
    "CustomResourceDefinition", "IngressClass", "RuntimeClass", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
"""Kinds that live in no namespace."""


@dataclass(frozen=True)
class Manifest:
    """One object and the name of its file."""

    file: str
    content: dict[str, Any]


def manifests(plan: Plan, *, show_secrets: bool = False) -> list[Manifest]:
    """The Kubernetes objects of a plan, in the order in which they can be applied."""
    providers = {resource.urn: resource for resource in plan.resources if ":providers:" in resource.type}
    objects = [one for one in plan.resources if one.is_kubernetes_object and not one.read]
    # Others may name the namespace as plain text, so that no edge says it comes first.
    objects.sort(key=lambda resource: not resource.type.endswith(":Namespace"))
    rendered = []
    for index, resource in enumerate(objects):
        content = manifest(resource, providers, show_secrets=show_secrets)
        label = re.sub("[^a-z0-9]+", "-", f"{content['kind']}-{content['metadata']['name']}".lower())
        rendered.append(Manifest(f"{index:03d}-{label.strip('-')}.yaml", content))
    return rendered


def manifest(resource: Resource, providers: dict[str, Resource], *, show_secrets: bool) -> dict[str, Any]:
    """One object as kubectl takes it: named, in its namespace, without what only Pulumi reads."""
    content = plain(resource.inputs, show_secrets=show_secrets)
    given = content.pop("metadata", {})
    annotations = given.pop("annotations", {})
    metadata: dict[str, Any] = {"name": plain(unwrap(resource.outputs["metadata"])["name"])}
    provider = providers.get(resource.provider.rpartition("::")[0])
    namespace = given.get("namespace") or (plain(provider.inputs.get("namespace")) if provider else None)
    if namespace and content["kind"] not in CLUSTER_SCOPED:
        metadata["namespace"] = namespace
    metadata |= {key: value for key, value in given.items() if key not in metadata}
    kept = {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}
    if kept:
        metadata["annotations"] = kept
    return _ordered(content | {"metadata": metadata})


def _ordered(value: Any) -> Any:
    """What says which thing this is comes first, the rest by name: so people write manifests."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    first = [key for key in ("apiVersion", "kind", "metadata", "name", "namespace", "image") if key in value]
    return {key: _ordered(value[key]) for key in [*first, *sorted(value.keys() - first)]}


def write(folder: Path, rendered: list[Manifest], *, private: bool) -> None:
    """Write one file per object and remove those of an earlier rendering.

    :param private: readable by the owner only.
    :raises Failure: when the folder holds anything else, so that nobody's files are lost or mixed in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = list(folder.iterdir())
    others = sorted(path.name for path in present if not re.fullmatch(r"\d{3}-.*\.yaml", path.name))
    if others:
        raise Failure(f"{folder} holds other files ({', '.join(others[:3])})", "name an empty folder")
    for path in present:
        path.unlink()
    if private:
        folder.chmod(0o700)
    for one in rendered:
        path = folder / one.file
        path.touch(mode=0o600 if private else 0o644)
        text = yaml.dump(one.content, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
        path.write_text(text)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, as a person would."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="make render", description="Write a stack's Kubernetes objects as YAML."
    )
    parser.add_argument("--stack", default="dev", help="the stack to render (default: dev)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files; made when missing")
    parser.add_argument(
        "--show-secrets", action="store_true", help="write secrets out, generated ones drawn anew"
    )
    options = parser.parse_args(arguments)
    with step(f"Rendering stack {options.stack} offline"):
        plan = offline(options.stack, Rendered(fresh=options.show_secrets))
        rendered = manifests(plan, show_secrets=options.show_secrets)
        write(options.out, rendered, private=options.show_secrets)
    console.print(f"Wrote {len(rendered)} objects to {options.out}")
    for one in (one for one in plan.resources if one.is_helm_release):
        chart = plain(one.inputs)
        console.print(f"[yellow]Not rendered:[/] Helm's chart {chart['chart']} {chart.get('version', '')}")
    _warn(rendered, options.show_secrets)
    return report(plan)


def _warn(rendered: list[Manifest], show_secrets: bool) -> None:
    """Say which files cannot be applied as they are."""
    reasons = {UNKNOWN_TEXT: "only the cloud or the cluster knows the value"}
    if show_secrets:
        reasons[SECRET_TEXT] = "the value is encrypted in the stack's settings"
    for mark, reason in reasons.items():
        files = [one.file for one in rendered if _holds(one.content, mark)]
        if files:
            console.print(f"[yellow]{escape(mark)}[/] stands in {', '.join(files)}: {reason}")


def _holds(content: dict[str, Any], mark: str) -> bool:
    return any(isinstance(leaf, str) and mark in leaf for _, leaf, _ in leaves(content))


if __name__ == "__main__":
    cli(main)
