"""A build backend (PEP 517) for one pure Python package: pip installs it without fetching a build tool."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

HERE = Path(__file__).parent
WHEEL = "Wheel-Version: 1.0\nGenerator: build_wheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Write the wheel and give its file name (PEP 427); pip writes its own RECORD when it installs."""
    del config_settings, metadata_directory
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    info = f"{stem}.dist-info"
    name = f"{stem}-py3-none-any.whl"
    with ZipFile(Path(wheel_directory) / name, "w") as wheel:
        written = []

        def write(path: str, text: str) -> None:
            wheel.writestr(path, text)
            written.append(f"{path},,")

        for source in sorted((HERE / "src").rglob("*.py")):
            write(source.relative_to(HERE / "src").as_posix(), source.read_text())
        write(f"{info}/METADATA", _metadata(project))
        write(f"{info}/WHEEL", WHEEL)
        write(f"{info}/entry_points.txt", _entry_points(project))
        wheel.writestr(f"{info}/RECORD", "\n".join([*written, f"{info}/RECORD,,", ""]))
    return name


def _metadata(project: dict[str, Any]) -> str:
    lines = {
        "Metadata-Version": "2.1",
        "Name": project["name"],
        "Version": project["version"],
        "Summary": project["description"],
        "Requires-Python": project["requires-python"],
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def _entry_points(project: dict[str, Any]) -> str:
    return "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    )
