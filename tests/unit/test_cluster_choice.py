"""Which cluster is used, and what is refused before anything is touched."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import pytest

from tools.cluster import __main__ as verbs
from tools.cluster import existing, loader, packages, registry
from tools.common import Failure


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(
        **{"context": None, "kubeconfig": None, "loader": None, "registry": False, **given}
    )


@pytest.mark.parametrize(
    ("given", "docker", "way"),
    [
        ({"context": "prod", "registry": True}, True, "context"),
        ({"context": "prod", "registry": True}, None, "context"),
        ({}, True, "kind"),
        ({}, False, "registry"),
    ],
)
def test_a_named_context_comes_first_then_docker_then_the_cluster_from_registries(
    given: dict[str, object], docker: bool | None, way: str
) -> None:
    assert verbs.choose(options(**given), docker=docker) == way


@pytest.mark.parametrize("given", [{"loader": "kind"}, {"registry": True}, {"kubeconfig": "f"}])
def test_options_of_a_context_without_a_context_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(Failure, match="go with --context"):
        verbs.choose(options(**given), docker=True)


def test_a_context_needs_a_loader_or_a_registry() -> None:
    with pytest.raises(Failure, match="how images get into") as failure:
        existing.refuse_unclear_images("prod", None, registry=False)
    assert "registry" in failure.value.hint
    assert "minikube" in failure.value.hint


def test_a_context_with_both_a_loader_and_a_registry_is_refused() -> None:
    with pytest.raises(Failure, match="both a loader and a registry"):
        existing.refuse_unclear_images("prod", "kind", registry=True)


def test_an_unknown_loader_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Failure, match="'kindd' is not a known loader") as failure:
        existing.refuse_unclear_images("prod", "kindd", registry=False)
    assert "docker-desktop" in failure.value.hint


def test_a_refused_context_leaves_the_checkout_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(existing, "KUBECONFIG", tmp_path / "kubeconfig")
    with pytest.raises(Failure):
        existing.use("prod", None, loader=None, registry=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("system", "uid", "said"), [("Darwin", 0, "Linux, and this is Darwin"), ("Linux", 1000, "root")]
)
def test_elsewhere_than_on_linux_as_root_the_ways_to_a_cluster_are_named(
    monkeypatch: pytest.MonkeyPatch, system: str, uid: int, said: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(registry.os, "geteuid", lambda: uid)
    with pytest.raises(Failure, match=said) as failure:
        registry.up()
    assert "Docker" in failure.value.hint
    assert "context" in failure.value.hint


@pytest.mark.parametrize(
    ("name", "context", "command"),
    [
        ("kind", "kind-team", "kind load image-archive /i.tar --name team"),
        ("minikube", "minikube", "minikube --profile minikube image load /i.tar"),
        ("k3d", "k3d-team", "k3d image import /i.tar --cluster team"),
        ("docker-desktop", "docker-desktop", "docker --context desktop-linux load --input /i.tar"),
    ],
)
def test_each_loader_loads_into_the_cluster_of_the_named_context(
    monkeypatch: pytest.MonkeyPatch, name: str, context: str, command: str
) -> None:
    monkeypatch.setattr(loader, "kind_command", lambda: "kind")
    assert loader.load_command({"loader": name, "context": context}, Path("/i.tar")) == command.split()


def test_a_cluster_that_pulls_its_images_refuses_an_archive() -> None:
    with pytest.raises(Failure, match="cannot be loaded"):
        loader.load_command({"loader": None, "context": "prod"}, Path("/i.tar"))


def terminal(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    """Stand in for a person at a terminal; None means that there is none, and asking would fail."""
    monkeypatch.delenv("YES", raising=False)
    monkeypatch.setattr("sys.stdin", argparse.Namespace(isatty=lambda: answer is not None))
    monkeypatch.setattr("builtins.input", lambda _: answer if answer is not None else pytest.fail("asked"))


def test_a_person_who_says_no_gets_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, "n")
    with pytest.raises(Failure, match="nothing was installed"):
        packages.agree(["Debian package runc"])


def test_without_a_terminal_the_list_is_shown_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, None)
    packages.agree(["Debian package runc"])
    assert "Debian package runc" in capsys.readouterr().err


def test_yes_in_the_environment_skips_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, "n")
    monkeypatch.setenv("YES", "1")
    packages.agree(["Debian package runc"])


def test_nobody_is_asked_when_there_is_nothing_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, "n")
    packages.agree([])


@pytest.mark.parametrize("kept", ["kind", "registry"])
@pytest.mark.parametrize("docker", [True, False, None])
def test_a_docker_engine_that_comes_or_goes_does_not_move_a_checkout_to_another_cluster(
    kept: str, *, docker: bool | None
) -> None:
    assert verbs.choose(options(), docker=docker, kept=kept) == kept


def test_a_context_that_the_stack_no_longer_names_leaves_the_choice_open() -> None:
    assert verbs.choose(options(), docker=True, kept="context") == "kind"


def test_a_cluster_with_stacks_on_it_is_not_removed_without_being_told_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(verbs, "INFO", tmp_path / "cluster.json")
    monkeypatch.setattr(verbs, "KUBECONFIG", tmp_path / "kubeconfig")
    monkeypatch.setattr(verbs, "namespaces_of_stacks", lambda: ["mlflow"])
    monkeypatch.setattr(verbs.registry, "down", lambda: removed.append("registry") or True)
    monkeypatch.setattr(verbs.kind, "down", lambda: False)
    monkeypatch.delenv("FORCE", raising=False)
    with pytest.raises(Failure, match="in namespaces mlflow"):
        verbs.down()
    assert not removed
    monkeypatch.setenv("FORCE", "cluster")
    verbs.down()
    assert removed == ["registry"]
