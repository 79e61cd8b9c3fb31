"""`make move`: copy all experiments, runs, models and artifacts of one stack into another, empty one."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.common import Failure, cli, console, run, step
from tools.deployed import Deployed, find

SCRIPTS = Path(__file__).parent / "scripts"
FACTS_LIMIT = 600
"""Seconds for counting rows and listing files; a hundred million rows take a few minutes."""
AT_FIRST = {"experiments": 1, "workspaces": 1}
"""Rows that an empty database starts with."""
SEALED = "secrets"
"""Table whose values only the source's own key opens (MLflow's gateway secrets)."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make move", description=__doc__)
    parser.add_argument("--from", dest="source", required=True, metavar="STACK")
    parser.add_argument("--to", dest="target", required=True, metavar="STACK")
    args = parser.parse_args(argv)
    if args.source == args.target:
        raise Failure("a stack cannot be moved into itself", "name two stacks: make move FROM=… TO=…")
    source, target = find(args.source), find(args.target)
    with step(f"What is in stacks {source.stack} and {target.stack}"), ThreadPoolExecutor() as at_once:
        listed, there = at_once.submit(names, source), at_once.submit(facts, target)
        before = facts(source)
        refuse(source.stack, target.stack, before, there.result())
        files = listed.result()
    for table in before["others"]:
        console.print(f"  [yellow]stays behind:[/] table {table} (sign-in users and permissions)")
    copy_files(source, target, files)
    with step(f"{sum(before['counts'].values())} rows"):
        piped(command(source, "rows", "read"), command(target, "rows", "write"))
    with step("Counting again"), ThreadPoolExecutor() as at_once:
        after, now = at_once.submit(facts, source), at_once.submit(facts, target)
        arrived = names(target)
        compare(source.stack, before["counts"], after.result(), now.result(), files, arrived)
    show(before["counts"], files)
    return 0


def refuse(source: str, target: str, before: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """:raises Failure: before anything is moved, when the copy would not be whole or not be readable."""
    if before["revision"] != there["revision"]:
        raise Failure(
            f"the schemas differ: {source} has {before['revision']}, {target} {there['revision']}",
            "bring both stacks up with the same MLflow first",
        )
    full = {name: n for name, n in there["counts"].items() if n > AT_FIRST.get(name, 0)}
    if full:
        raise Failure(
            f"stack {target} is not empty: {', '.join(f'{n} {name}' for name, n in full.items())}",
            "move into a stack that has just been brought up",
        )
    if before["direct"]:
        kinds = ", ".join(f"{n} {name}" for name, n in before["direct"].items())
        raise Failure(
            f"in stack {source} {kinds} name their store directly, which {target} may not reach",
            "only artifacts that go through the server (mlflow-artifacts:/) can be moved",
        )
    if before["counts"][SEALED]:
        raise Failure(
            f"stack {source} holds {before['counts'][SEALED]} gateway secrets, which only its own key opens",
            "delete them there, move, and make them anew in the target",
        )


def copy_files(source: Deployed, target: Deployed, files: Mapping[str, int]) -> None:
    """Send what the target does not have yet: after a break the next run goes on."""
    have = names(target)
    missing = [name for name, size in files.items() if have.get(name) != size]
    gigabytes = sum(files[name] for name in missing) / 1e9
    with step(f"{len(missing)} of {len(files)} files, {gigabytes:.2f} GB"):
        if missing:
            wanted = "".join(json.dumps(name) + "\n" for name in missing)
            piped(command(source, "files", "read"), command(target, "files", "write"), wanted)


def compare(
    source: str,
    counted: Mapping[str, int],
    after: Mapping[str, Any],
    there: Mapping[str, Any],
    files: Mapping[str, int],
    arrived: Mapping[str, int],
) -> None:
    """:raises Failure: when something was written meanwhile, or did not arrive."""
    changed = [name for name, number in after["counts"].items() if number != counted[name]]
    lost = [name for name, number in there["counts"].items() if number != counted[name]]
    missing = [name for name, size in files.items() if arrived.get(name) != size]
    if lost or missing:
        what = ", ".join([*lost, *missing[:3]])
        raise Failure(f"not all of it arrived: {what}", "nothing was deleted at the source; see above")
    if changed:
        raise Failure(
            f"stack {source} was written to meanwhile ({', '.join(changed)}): the copy is older",
            "stop its jobs, take the target down and up again, and move once more",
        )


def show(counted: Mapping[str, int], files: Mapping[str, int]) -> None:
    console.print(
        f"[green]✓[/] moved {counted['experiments']} experiments, {counted['runs']} runs, "
        f"{counted['model_versions']} model versions, {counted['metrics']} metric values and "
        f"{len(files)} files; the source is as it was"
    )


def facts(deployed: Deployed) -> dict[str, Any]:
    """Schema, row counts and what cannot be moved."""
    return json.loads(run(command(deployed, "rows", "facts"), timeout=FACTS_LIMIT, hint="make status"))


def names(deployed: Deployed) -> dict[str, int]:
    """Each artifact's name and size in bytes."""
    text = run(command(deployed, "files", "names"), timeout=FACTS_LIMIT, hint="make status")
    return dict(json.loads(line) for line in text.splitlines())


def command(deployed: Deployed, script: str, verb: str) -> list[str]:
    """kubectl that runs a script in the server's pod."""
    text = (SCRIPTS / f"{script}.py").read_text()
    return deployed.command(
        "exec", "--stdin", "deployment/mlflow-server", "--container=server", "--", "python", "-c", text, verb
    )


def piped(reads: list[str], writes: list[str], given: str = "") -> None:
    """Join two pods: what one writes the other reads.

    :param given: standard input of the first.
    :raises Failure: when either fails; their own words are on the terminal by then.
    """
    with (
        subprocess.Popen(reads, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as source,
        subprocess.Popen(writes, stdin=source.stdout) as target,
    ):
        assert source.stdin is not None
        assert source.stdout is not None
        source.stdout.close()  # only the target holds it: when it ends, the source notices
        try:
            source.stdin.write(given.encode())
            source.stdin.close()
        except BrokenPipeError:
            pass
        except BaseException:
            source.terminate()
            target.terminate()
            raise
        codes = target.wait(), source.wait()
    if any(codes):
        raise Failure(
            "the transfer ended early", "see above; run it again: what has arrived is not sent twice"
        )


if __name__ == "__main__":
    cli(main)
