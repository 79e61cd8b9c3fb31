"""What `make validate` sends to the cluster where only the cloud will say what stands in a manifest."""

from __future__ import annotations

import pytest

from components.settings import parse
from tools.offline import SECRET_TEXT, UNKNOWN_TEXT
from tools.validate.dry_run import _findings, _sendable

pytestmark = pytest.mark.unit
DEV = parse({"cloud": "dev"})


def test_a_secret_whose_whole_content_is_unknown_is_sent_as_an_empty_one() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "a"}, "stringData": SECRET_TEXT}
    assert _sendable(secret) == {**secret, "stringData": {}}


def test_a_pull_secret_is_sent_with_an_empty_configuration() -> None:
    """The API server wants JSON there, which the text that stands for a secret is not."""
    secret = {"kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "metadata": {"name": "a"}}
    given = {**secret, "stringData": {".dockerconfigjson": SECRET_TEXT}}
    assert _sendable(given) == {**secret, "stringData": {".dockerconfigjson": "{}"}}


def test_all_else_is_sent_as_it_is_with_a_word_for_what_is_unknown() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "a"}, "stringData": {"A": SECRET_TEXT}}
    assert _sendable(secret) == secret
    service = {"kind": "Service", "metadata": {"name": f"s-{UNKNOWN_TEXT}"}}
    assert _sendable(service) == {"kind": "Service", "metadata": {"name": "s-unknown"}}


def test_a_binding_whose_role_comes_with_it_is_no_mistake_and_any_other_refusal_is() -> None:
    """Who is no administrator binds no Role that is not there, and a dry run makes none."""
    binding = {"kind": "RoleBinding", "metadata": {"name": "roll"}}
    missing = 'rolebindings.rbac.authorization.k8s.io "roll" not found'
    assert list(_findings(binding, binding, [missing], DEV)) == []
    (finding,) = _findings(binding, binding, ["forbidden: attempting to grant extra privileges"], DEV)
    assert finding.fails
    (finding,) = _findings({**binding, "kind": "Role"}, binding, [missing], DEV)
    assert finding.fails
