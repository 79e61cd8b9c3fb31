"""What `make secret` refuses before it stores anything."""

from __future__ import annotations

import io

import pytest

from components.reserved import RESERVED
from tools import secret
from tools.common import Failure

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("key", ["MLFLOW_BACKEND_STORE_URI", "AWS_CA_BUNDLE", "HOME"])
def test_a_name_that_the_program_sets_itself_is_refused_with_what_to_do_instead(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "set_secret", lambda *_: pytest.fail("it was stored"))
    monkeypatch.setattr(secret.sys, "stdin", io.StringIO("value"))
    with pytest.raises(Failure) as refused:
        secret.main(["--group", "g", "--name", "n", "--key", key])
    assert str(refused.value) == f"KEY={key} is set by the program: {RESERVED[key]}"
