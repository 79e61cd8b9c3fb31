"""What pipelines must not say. Each check names the key and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .cluster import Cluster
from .errors import Problem
from .jobs import Jobs
from .pipelines import Pipeline, PipelineEngine, Pipelines, Stage
from .rules import rule
from .services import ModelServers, Services

NAMES = 50
"""Characters of a pipeline's and a stage's name together under Argo: its workflows add 11 and a dash, and a
Job's name holds 63."""


@rule
def pipeline_stages(pipelines: Pipelines) -> Iterator[Problem]:
    for key, pipeline in _each(pipelines):
        if not pipeline.stages:
            yield Problem(f"{key}.stages", "is empty; give at least one, such as train: { job: train }")
        for name, stage in pipeline.stages.items():
            yield from _one_thing(f"{key}.stages.{name}", stage)
            yield from _order(f"{key}.stages.{name}.after", name, stage.after, pipeline.stages)
        if circle := cycle({name: stage.after for name, stage in pipeline.stages.items()}):
            yield Problem(
                f"{key}.stages.{circle[0]}.after", f"leads back to itself: {' after '.join(circle)}"
            )


@rule
def pipeline_references(
    pipelines: Pipelines, jobs: Jobs, services: Services, model_servers: ModelServers
) -> Iterator[Problem]:
    known: Sequence[tuple[str, str, Mapping[str, object]]] = [
        ("job", "jobs", jobs),
        ("service", "services", services),
        ("model_server", "modelServers", model_servers),
    ]
    for key, pipeline in _each(pipelines):
        for name, stage in pipeline.stages.items():
            place = f"{key}.stages.{name}"
            for field, section, described in known:
                wanted = getattr(stage, field)
                if wanted is not None and wanted not in described:
                    there = ", ".join(sorted(described)) or "none"
                    yield Problem(
                        f"{place}.{_key(field)}",
                        f"there is no {wanted} in mlflow:{section}; there are: {there}",
                    )
            job = jobs.get(stage.job or "")
            if job is not None and stage.parameters and job.runs_entry_point is None:
                yield Problem(f"{place}.parameters", f"only fit an entry point; {stage.job} runs none")


@rule
def pipeline_schedules(pipelines: Pipelines) -> Iterator[Problem]:
    for key, pipeline in _each(pipelines):
        if pipeline.schedule is None:
            for name, given in (("timeZone", pipeline.time_zone), ("suspended", pipeline.suspended)):
                if given:
                    yield Problem(f"{key}.{name}", "only fits a pipeline with a schedule; remove it")


@rule
def pipelines_of_argo(pipelines: Pipelines, cluster: Cluster) -> Iterator[Problem]:
    for key, pipeline in _each(pipelines):
        if pipeline.engine is not PipelineEngine.ARGO:
            continue
        if not cluster.argo_workflows:
            yield Problem(
                f"{key}.engine",
                "is argo, which the cluster is not said to have; install Argo Workflows and set "
                "mlflow:cluster.argoWorkflows, or use plain",
            )
        for name in pipeline.stages:
            if len(key.rpartition(".")[2]) + len(name) > NAMES:
                yield Problem(
                    f"{key}.stages.{name}", f"makes a Job's name too long; {NAMES} with the pipeline's fit"
                )


@rule
def names_of_workloads(
    jobs: Jobs, services: Services, model_servers: ModelServers, pipelines: Pipelines
) -> Iterator[Problem]:
    """One namespace holds them all, and `make run`, `make logs` and stages go by the name alone."""
    seen: dict[str, str] = {}
    sections: Sequence[tuple[str, Mapping[str, object]]] = [
        ("jobs", jobs),
        ("services", services),
        ("modelServers", model_servers),
        ("pipelines", pipelines),
    ]
    for section, described in sections:
        for name in described:
            key = f"mlflow:{section}.{name}"
            if name in seen:
                yield Problem(key, f"bears the name of {seen[name]}; choose another")
            seen.setdefault(name, key)


def cycle(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Stages that wait for each other in a circle, from one back to itself; empty without any.

    :param after: stage → those it follows; unknown ones are another rule's.
    """
    free: set[str] = set()
    while more := {name for name in after if name not in free and _free(after, name, free)}:
        free |= more
    left = sorted(set(after) - free)
    if not left:
        return []
    path = [left[0]]
    while path.count(path[-1]) == 1:
        path.append(next(name for name in after[path[-1]] if name in after and name not in free))
    return path[path.index(path[-1]) :]


def _free(after: Mapping[str, Sequence[str]], name: str, free: set[str]) -> bool:
    return all(one in free or one not in after for one in after[name])


def _one_thing(key: str, stage: Stage) -> Iterator[Problem]:
    given = [_key(name) for name in ("job", "service", "model_server") if getattr(stage, name) is not None]
    if not given:
        yield Problem(key, "names nothing to do; give job, service or modelServer")
    if len(given) > 1:
        yield Problem(key, f"names {' and '.join(given)}; a stage is one of them")
    if stage.job is None and given:
        for field in ("parameters", "retries", "deadline_seconds"):
            value = getattr(stage, field)
            if value is not None and value != {}:
                yield Problem(f"{key}.{_key(field)}", f"only fits a job; {given[0]} takes none")
    for name in stage.parameters:
        if not name or name.startswith("-") or "=" in name:
            yield Problem(f"{key}.parameters.{name}", "is no parameter's name")


def _order(key: str, own: str, after: Sequence[str], stages: Mapping[str, Stage]) -> Iterator[Problem]:
    for index, name in enumerate(after):
        if name not in stages:
            there = ", ".join(sorted(set(stages) - {own})) or "none"
            yield Problem(f"{key}[{index}]", f"there is no stage {name}; the others are: {there}")
        elif name in after[:index]:
            yield Problem(f"{key}[{index}]", f"names {name} twice; remove one")


def _key(field: str) -> str:
    """As the stack file writes it."""
    return {"model_server": "modelServer", "deadline_seconds": "deadlineSeconds"}.get(field, field)


def _each(pipelines: Pipelines) -> Iterator[tuple[str, Pipeline]]:
    for name, pipeline in pipelines.items():
        yield f"mlflow:pipelines.{name}", pipeline
