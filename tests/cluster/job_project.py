"""The project that the job tests run from Git, as files."""

from __future__ import annotations

import io
import zipfile

MLPROJECT = """
name: tests
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.1}
    command: "python main.py {alpha}"
  fail:
    command: "python fail.py"
  slow:
    command: "python slow.py"
"""
MAIN = """
import sys
import mlflow
from marker import VALUE

with mlflow.start_run():
    mlflow.log_metric("alpha_seen", float(sys.argv[1]))
    mlflow.set_tag("marker", VALUE)
open("written-beside-the-code", "w").write("projects do that")
"""
SLOW = """
import os, time
from pathlib import Path
import mlflow

step = Path(os.environ["WORKSPACE"], "step")
with mlflow.start_run():
    mlflow.set_tag("found", str(step.exists()))
    if not step.exists():
        step.write_text("done so far")
        mlflow.set_tag("waits", "yes")
        print("waiting", flush=True)
        time.sleep(600)
"""
WHEEL = "wheels/tiny_test_package-1.0-py3-none-any.whl"


def files() -> dict[str, str | bytes]:
    """Path → content."""
    return {
        "project/MLproject": MLPROJECT,
        "project/main.py": MAIN,
        "project/marker.py": "VALUE = 'first'\n",
        "project/fail.py": "raise ValueError('the data is gone')\n",
        "project/slow.py": SLOW,
        "project/module.py": "import sys, mlflow\nmlflow.set_tag('words', ' '.join(sys.argv[1:]))\n",
        "project/uses_tiny.py": "import mlflow, tiny\nmlflow.set_tag('tiny', tiny.VALUE)\n",
        f"project/{WHEEL}": wheel(),
    }


def wheel() -> bytes:
    """A package without dependencies, so that it is installed without any package index."""
    info = "tiny_test_package-1.0.dist-info"
    content = {
        "tiny.py": "VALUE = 'installed'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-test-package\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*content, f"{info}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return packed.getvalue()
