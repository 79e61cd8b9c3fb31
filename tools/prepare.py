"""What a stack needs before the engine runs: on dev a cluster and its images; a cloud brings both itself."""

from __future__ import annotations

import argparse

from components.settings.dev import DevStack
from tools import images
from tools.cluster import __main__ as cluster
from tools.common import cli
from tools.settings import settings_of


def main(argv: list[str]) -> int:
    """``python -m tools.prepare [--stack S] [--only cluster|images]``."""
    parser = argparse.ArgumentParser(prog="python -m tools.prepare", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--only", choices=["cluster", "images"])
    options = parser.parse_args(argv)
    settings = settings_of(options.stack)
    if not isinstance(settings, DevStack):
        return 0
    if options.only != "images":
        cluster.main(["up", *_cluster_options(settings)])
    if options.only != "cluster":
        images.main(["--stack", options.stack])
    return 0


def _cluster_options(settings: DevStack) -> list[str]:
    chosen = settings.cluster
    if chosen.context is None:
        return []
    options = ["--context", chosen.context]
    if chosen.kubeconfig:
        options += ["--kubeconfig", chosen.kubeconfig]
    if chosen.loader:
        options += ["--loader", chosen.loader]
    if settings.images.registry or (settings.images.server and settings.images.job):
        options.append("--registry")
    return options


if __name__ == "__main__":
    cli(main)
