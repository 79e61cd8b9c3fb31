"""`python -m tools.images`: build the images, bring them to the cluster's nodes, note what was made.

Own images are built here. Third-party ones are pulled by the cluster from upstream; only where it can
pull nothing, substitutes are built for them. Each run prints which substitutes it used.
"""

from __future__ import annotations

import argparse
import os

from components.image_context import OWN_IMAGES
from components.third_party import ON_THE_CLUSTER, PYTHON, THIRD_PARTY
from tools.cluster import info
from tools.common import Failure, cli, console
from tools.image_build.build import Built, base_of, build
from tools.image_build.debian_root import host_architecture
from tools.image_build.deliver import (
    Record,
    cluster_instance,
    deliver,
    held_by_nodes,
    image_settings,
    node_platform,
)
from tools.image_build.engines import Docker, choose_engine
from tools.image_build.lock import lock

NAMES = (*OWN_IMAGES, *ON_THE_CLUSTER)


def main(argv: list[str]) -> int:
    """Build and deliver; the exit code."""
    options = _parser().parse_args(argv)
    if options.lock:
        lock()
        return 0
    names = _names(options.only)
    if options.build_only:
        _build_only(names)
        return 0
    settings = image_settings(options.stack)
    can_pull = bool(info()["canPull"])
    platform = node_platform()
    engine = choose_engine()
    record = Record(cluster_instance(), held_by_nodes())
    substitutes: list[str] = []
    ready = {"tracking-server": settings.server, "job": settings.job}
    for name in names:
        if ready.get(name):
            console.print(f"[green]✓[/] {name}: {ready[name]} [dim](given by the stack)[/]")
        elif name in THIRD_PARTY and can_pull:
            record.put(name, {"reference": THIRD_PARTY[name].reference, "substitute": False})
            console.print(f"[green]✓[/] {THIRD_PARTY[name].reference} [dim](the cluster pulls it)[/]")
        else:
            base = base_of(name, can_pull=can_pull or isinstance(engine, Docker))
            built = build(name, engine, base=base, platform=platform)
            deliver(built, record, engine, settings.registry)
            substitutes += _substitutes_in(built)
    _report(substitutes)
    return 0


def _build_only(names: list[str]) -> None:
    """Fill the cache for this machine's architecture, as for a cluster that can pull nothing."""
    engine = choose_engine()
    substitutes = []
    for name in names:
        base = base_of(name, can_pull=isinstance(engine, Docker))
        built = build(name, engine, base=base, platform=f"linux/{host_architecture()}")
        console.print(f"  {built.archive} [dim]({built.archive.stat().st_size / 1e6:.0f} MB)[/]")
        substitutes += _substitutes_in(built)
    _report(substitutes)


def _substitutes_in(built: Built) -> list[str]:
    """What stands in for an upstream image in ``built``, one line each."""
    if built.base.root is None:
        return []
    packages = f"Debian {built.base.root.suite} packages"
    if built.name in THIRD_PARTY:
        return [f"{built.name}: {built.reference} ({packages}) for {THIRD_PARTY[built.name].reference}"]
    return [f"{built.name}: built on {packages} instead of {PYTHON.reference}"]


def _report(substitutes: list[str]) -> None:
    if not substitutes:
        console.print("No substitutes: every third-party image is the upstream one.")
        return
    console.print("[yellow]Substitutes in use, since this machine or its cluster pulls no images:[/]")
    for line in substitutes:
        console.print(f"  - {line}")


def _names(only: list[str]) -> list[str]:
    unknown = [name for name in only if name not in NAMES]
    if unknown:
        raise Failure(f"unknown image {', '.join(unknown)}", f"the images are: {', '.join(NAMES)}")
    return only or list(NAMES)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    parser.add_argument("--stack", default=os.environ.get("STACK") or "dev", help="the stack to build for")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--build-only", action="store_true", help="fill the cache; no cluster is needed")
    parser.add_argument("--lock", action="store_true", help="resolve the images' requirements again")
    return parser


if __name__ == "__main__":
    cli(main)
