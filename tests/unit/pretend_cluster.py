"""A namespace in memory behind the pods' own client: what happens in it is the test's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from components.jobs.scripts.kubernetes import Api, Refused

Object = dict[str, Any]


def merged(old: Any, new: Any) -> Any:
    """RFC 7386."""
    if not isinstance(new, dict):
        return new
    base = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), value)
    return base


class Pretend(Api):
    """Objects by kind and name.

    :ivar asked: (method, kind, name) of every change, in order.
    :ivar tick: called before each answer; moves the cluster on.
    """

    def __init__(self) -> None:
        self.namespace = "team"
        self.objects: dict[tuple[str, str], Object] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.tick: Callable[[], None] = lambda: None
        self._made = 0

    def put(self, kind: str, name: str, /, **content: Any) -> Object:
        self._made += 1
        metadata = {
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": f"2026-01-01T00:00:{self._made:02}Z",
            **content.pop("metadata", {}),
        }
        self.objects[kind, name] = {"metadata": metadata, "status": {}, **content}
        return self.objects[kind, name]

    def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        self.tick()
        parts = urlsplit(path)
        kind, _, name = parts.path.partition("/namespaces/team/")[2].partition("/")
        key = kind, name
        if method == "GET" and not name:
            query = {each: values[0] for each, values in parse_qs(parts.query).items()}
            return {"items": [copy.deepcopy(each) for each in self._selected(kind, query)]}
        if method != "GET":
            self.asked.append((method, kind, name or body["metadata"]["name"]))
        if method == "POST":
            if (kind, body["metadata"]["name"]) in self.objects:
                raise Refused(method, path, 409, "already exists")
            return self.put(kind, body["metadata"]["name"], **copy.deepcopy(body))
        if key not in self.objects:
            raise Refused(method, path, 404, "not found")
        if method == "PATCH":
            assert content == "application/merge-patch+json"
            self.objects[key] = merged(self.objects[key], body)
            self.objects[key]["metadata"]["generation"] += 1
        if method == "DELETE":
            return self.objects.pop(key)
        return copy.deepcopy(self.objects[key])

    def _selected(self, kind: str, query: dict[str, str]) -> list[Object]:
        found = [each for (one, _), each in self.objects.items() if one == kind]
        for term in query.get("labelSelector", "").split(",") if "labelSelector" in query else []:
            key, _, value = term.partition("=")
            found = [each for each in found if each["metadata"].get("labels", {}).get(key) == value]
        for term in query.get("fieldSelector", "").split(",") if "fieldSelector" in query else []:
            path, _, value = term.partition("=")
            found = [each for each in found if _at(each, path) == value]
        return found


def _at(found: Any, path: str) -> Any:
    for step in path.split("."):
        found = found.get(step, {})
    return found


def registry_saying(answers: list[Any]) -> type:
    """A registry of models whose look-ups end in these answers, one by one; an exception is raised."""

    class Registry:
        def resolved(self, _model: str) -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    return Registry
