"""The code of every job and service: its repository, its ref, its MLproject file, asked before a run does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import yaml
from rich.markup import escape

from components.local_code import NotServable, archived
from components.settings import AnyStack
from components.settings.base import Model
from components.settings.jobs import Job
from components.settings.pipelines import Pipeline
from components.settings.workloads import Code, Git, Submodules
from tools.common import ROOT, Failure, console
from tools.validate import Finding, Subject, reason
from tools.validate.git import GitError, Repository, nearest, opened

AT_ONCE = 8
"""Repositories asked at the same time."""


@dataclass(frozen=True)
class Asked:
    """Code as a workload describes it.

    :ivar key: path of the workload's section.
    :ivar parameters: name → key path of where it is given.
    :ivar by_itself: key paths of what starts it with nobody there to give more parameters.
    """

    key: str
    code: Code
    parameters: Mapping[str, str] = field(default_factory=dict)
    by_itself: bool = False


def sources(subject: Subject) -> Iterator[Finding]:
    """Every workload's code, each repository and ref asked for once."""
    places: dict[str, list[Asked]] = {}
    for asked in described(subject.settings):
        git = asked.code.git
        if git is None:
            where = "an image" if asked.code.folder else "a volume"
            console.print(f"  [dim]{escape(asked.key)}: its code is in {where}, which cannot be read here[/]")
        else:
            same = git.model_copy(update={"path": "", "depth": 1, "submodules": Submodules.OFF})
            places.setdefault(same.model_dump_json(), []).append(asked)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(lambda those: list(_of_one_place(subject, those)), places.values()):
            yield from found


def described(settings: AnyStack) -> Iterator[Asked]:
    """All code that the settings name, whatever section it is in."""
    for name, info in type(settings).model_fields.items():
        section = getattr(settings, name)
        for one, workload in section.items() if isinstance(section, Mapping) else ():
            key = f"mlflow:{info.alias or name}.{one}"
            if isinstance(workload, Code):
                parameters = {each: f"{key}.parameters.{each}" for each in _parameters(workload)}
                schedule = getattr(workload, "schedule", None)
                yield Asked(key, workload, parameters, by_itself=schedule is not None)
            elif isinstance(workload, Pipeline):
                yield from _of_stages(key, workload, settings)


def _of_stages(key: str, pipeline: Pipeline, settings: AnyStack) -> Iterator[Asked]:
    """Jobs as a pipeline's stages start them."""
    for name, stage in pipeline.stages.items():
        job = settings.jobs.get(stage.job or "")
        if job is not None:
            place = f"{key}.stages.{name}"
            given = {each: f"{place}.parameters.{each}" for each in stage.parameters}
            of_job = {each: f"mlflow:jobs.{stage.job}.parameters.{each}" for each in job.parameters}
            yield Asked(f"mlflow:jobs.{stage.job}", job, {**of_job, **given}, by_itself=True)


def _parameters(workload: Model) -> Mapping[str, str]:
    return workload.parameters if isinstance(workload, Job) else {}


def _of_one_place(subject: Subject, those: list[Asked]) -> Iterator[Finding]:
    """Everything that comes from one commit of one repository."""
    first = those[0].code.git
    assert first is not None
    if first.local is not None:
        yield from _of_this_machine(those)
        return
    group = subject.credentials.get(first.credentials or "", {})
    if first.credentials and not group:
        text = f"not looked into: the values of group {first.credentials} cannot be decrypted here"
        yield from (Finding(f"{each.key}.git.credentials", text, fails=False) for each in those)
        return
    try:
        with opened(f"{those[0].key}.git", first, group) as found:
            for each in those:
                if isinstance(found, Finding):
                    yield Finding(found.key.replace(those[0].key, each.key, 1), found.text, fails=found.fails)
                else:
                    yield from _in_repository(each, found)
    except Failure as failure:
        yield Finding(f"{those[0].key}.git", f"not looked into: {reason(failure)}", fails=False)


def _of_this_machine(those: list[Asked]) -> Iterator[Finding]:
    for each in those:
        git = each.code.git
        assert git is not None
        folder = ROOT / (git.local or "")
        try:
            archive = archived(folder, git.ref, git.path)
        except NotServable as error:
            yield Finding(f"{each.key}.git.local", str(error))
            continue
        yield from _in_repository(each, Repository(folder, archive.commit))


def _in_repository(asked: Asked, repository: Repository) -> Iterator[Finding]:
    """The project's folder, its requirements file, its entry point."""
    git = asked.code.git or Git()
    try:
        if git.path and repository.kind(git.path) != "tree":
            yield Finding(f"{asked.key}.git.path", f"there is no folder {git.path} in {git.ref}")
            return
        requirements = asked.code.requirements_file
        if requirements and repository.kind(_in(git, requirements)) != "blob":
            text = f"there is no file {_in(git, requirements)} in {git.ref}"
            yield Finding(f"{asked.key}.requirementsFile", text)
        if isinstance(asked.code, Job) and asked.code.runs_entry_point:
            yield from _entry_point(asked, asked.code.runs_entry_point, repository)
    except GitError as error:
        yield Finding(f"{asked.key}.git", f"not looked into any further: {error}", fails=False)


def _entry_point(asked: Asked, wanted: str, repository: Repository) -> Iterator[Finding]:
    """What the launcher would refuse (components/jobs/scripts/launcher.py), and what MLflow would."""
    git = asked.code.git or Git()
    file = _in(git, "MLproject")
    if repository.kind(file) != "blob":
        text = f"there is no {file} in {git.ref}; add one, or give module or command"
        yield Finding(f"{asked.key}.git.path" if git.path else f"{asked.key}.git", text)
        return
    try:
        points = (yaml.safe_load(repository.text(file)) or {}).get("entry_points") or {}
        entries: dict[str, Any] = {
            name: (point or {}).get("parameters") or {} for name, point in points.items()
        }
    except (yaml.YAMLError, AttributeError):
        yield Finding(
            f"{asked.key}.git", f"{file} in {git.ref} is no MLproject file: it cannot be read as one"
        )
        return
    if wanted not in entries:
        text = f"{file} has no entry point {wanted}{nearest(wanted, sorted(entries))}"
        yield Finding(f"{asked.key}.entryPoint", text)
        return
    declared = entries[wanted]
    for name, key in asked.parameters.items():
        if name not in declared:
            text = f"entry point {wanted} of {file} has no such parameter"
            yield Finding(key, text + (nearest(name, sorted(declared)) or "; it has none"))
    for name, described in declared.items():
        if asked.by_itself and name not in asked.parameters and not _has_default(described):
            text = f"is missing: entry point {wanted} needs it, and nobody gives it when it starts by itself"
            yield Finding(f"{asked.key}.parameters.{name}", text)


def _has_default(described: Any) -> bool:
    """Source: MLflow, "MLproject file", parameters: a type alone, or a type and a default."""
    return isinstance(described, Mapping) and "default" in described


def _in(git: Git, path: str) -> str:
    return f"{git.path}/{path}" if git.path else path
