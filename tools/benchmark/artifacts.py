"""Section `artifacts`: the same bytes through the server and straight onto its volume."""

from __future__ import annotations

from tools.benchmark.place import NAMESPACE, Bench, kubectl, say
from tools.benchmark.pods import address, run_script, server_pod
from tools.benchmark.results import Figure, Sample, Section
from tools.common import step

CLAIM = "mlflow-artifacts"
VOLUME = "/volume"
LIMIT = 300
PAIRS = {"upload": "write", "download": "read"}


def section(bench: Bench, *, rounds: int, size: int) -> Section:
    """Upload and download through the server, write and read on the volume, in turns.

    :param size: MB of each file.
    """
    bench.ensure_up()
    kubectl("get", "pvc", CLAIM, "-n", NAMESPACE)
    pod = server_pod()["metadata"]["name"]
    plan = {"host": address(pod), "port": 5000, "volume": VOLUME, "rounds": rounds, "size": size}
    with step(f"artifacts of {size} MB, {rounds} rounds"):
        found = run_script(
            "artifact.py", plan, LIMIT, lambda line: say(f"{line['what']}: {line['rate']:.0f} MB/s"), CLAIM
        )
    names = {"upload": "upload through the server", "write": "write to the volume, with fsync",
             "download": "download through the server", "read": "read from the volume"}  # fmt: skip
    samples = [
        Sample(name=names[what], unit="MB/s", values=[line["rate"] for line in found if line["what"] == what])
        for what in names
    ]
    return Section(
        name="artifacts",
        samples=samples,
        figures=[
            Figure(title=through, numerator=names[through], denominator=names[straight], better="higher")
            for through, straight in PAIRS.items()
        ],
        setting=[
            f"Files of {size} MB that do not compress, from a pod on the server's node. An upload counts "
            "until the bytes are on the disk, as the direct write does; reads start with the file out of the "
            "page cache. "
            "The server spools each upload to its scratch space before it stores it.",
        ],
    )
