"""Run code as one MLflow run, and end that run properly whatever ends this process.

The first process of a job's pod. What runs is an entry point of an MLproject file, a Python module or a
command. ``mlflow run`` itself, as a pod's first process, ignores SIGTERM and leaves its run RUNNING for
ever; a pod that is deleted, evicted or over its deadline gets exactly that signal.

Runs inside the job's image, or in the client environment on a developer's machine: MLflow and the standard
library only, Python 3.10 and newer. One file, since all of these run it by its path.
"""

import argparse
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

STOPPED = 143
"""Exit code of a process that SIGTERM ended (128 + 15)."""
MISDESCRIBED = 78
"""Exit code of a job that cannot start as it is described (EX_CONFIG of sysexits.h): trying again is vain."""
CHILD_SECONDS = 20
"""How long the code may clean up after SIGTERM; within the pod's grace period, with time to close the run."""
DAY = 86400
RUNS = "runs"
"""Folder of a workspace that holds a folder for each Job."""

log = logging.getLogger("launcher")


class Stopped(BaseException):
    """SIGTERM came."""


class Wrong(Exception):  # noqa: N818 - what a person sees
    """The job cannot start as it is described; one line."""


class Signals:
    """SIGTERM raises :class:`Stopped`, but never while a run is being opened: its id would be lost."""

    def __init__(self):
        self.held, self.came = False, False
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_term(self, _signal, _frame):
        self.came = True
        if not self.held:
            raise Stopped

    def __enter__(self):
        self.held = True

    def __exit__(self, *_):
        self.held = False
        if self.came:
            raise Stopped


def pairs(texts):
    """``["alpha=0.3"]`` as ``{"alpha": "0.3"}``; the last one of a name counts."""
    return dict(text.split("=", 1) for text in texts)


def check_needs(names):
    """Refuse to start without a value of a Secret: an `up` has replaced it since this Job began."""
    gone = [name for name in names if name not in os.environ]
    if gone:
        raise Wrong(
            f"{', '.join(gone)} of the Job's secrets is no longer there: `make up` changed them meanwhile; "
            "start the job again"
        )


def located(args):
    """The project's folder and the commit it is from, or None.

    git-sync publishes a checkout as a link to a folder that bears the commit's name. MLflow finds the
    commit through the real path only.
    """
    code = Path(args.code)
    # An image built by `make image` says itself which commit it holds.
    commit = code.readlink().name if code.is_symlink() else os.environ.get("JOB_COMMIT")
    folder = (code.resolve() / args.path).resolve()
    if not folder.is_dir():
        raise Wrong(f"there is no folder {args.path or args.code} in the code")
    return folder, commit


def workspace(args):
    """This Job's folder on the workspace, made when missing; None without a workspace.

    What lies beside ``runs`` is the users' own, for all runs, and never cleaned up.
    """
    if not args.workspace:
        return None
    root = Path(args.workspace) / RUNS
    root.mkdir(exist_ok=True)
    mine = root / os.environ.get("JOB_RUN", "run")
    for old in root.iterdir() if args.keep_days else ():
        if old.is_dir() and old != mine and not _touched_since(old, time.time() - args.keep_days * DAY):
            log.info("removing the workspace of %s, unchanged for %s days", old.name, args.keep_days)
            shutil.rmtree(old, ignore_errors=True)
    mine.mkdir(exist_ok=True)
    os.utime(mine)
    return mine


def _touched_since(folder, moment):
    try:
        return any(path.lstat().st_mtime > moment for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return True  # somebody works on it: its own run, or another one that removes it


def install(args, folder, place):
    """Requirements into an environment of the run's own, on top of the image's; a second attempt finds it."""
    words = list(args.requirement)
    wanted = "\n".join([sys.version, *words])
    if args.requirements_file:
        file = folder / args.requirements_file
        if not file.is_file():
            raise Wrong(f"there is no {args.requirements_file} in the project")
        words, wanted = ["-r", str(file)], wanted + file.read_text()
    if not words:
        return
    target = (place or Path(os.environ.get("TMPDIR", "/tmp"))) / ".venv"  # noqa: S108 - an emptyDir
    mark, key = target / ".complete", hashlib.sha256(wanted.encode()).hexdigest()
    if not (mark.exists() and mark.read_text() == key):
        start = time.monotonic()
        log.info("installing %s", args.requirements_file or " ".join(words))
        shutil.rmtree(target, ignore_errors=True)
        checked([sys.executable, "-m", "venv", "--without-pip", str(target)])
        packages = sysconfig.get_path("purelib", vars={"base": str(target), "platbase": str(target)})
        below = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        Path(packages, "image.pth").write_text("\n".join(below) + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(target / "bin" / "python"), "install"]
        checked([*pip, "--quiet", "--no-cache-dir", "--disable-pip-version-check", *words], cwd=folder)
        mark.write_text(key)
        log.info("installed in %.0f s", time.monotonic() - start)
    os.environ["PATH"] = f"{target / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["VIRTUAL_ENV"] = str(target)


def checked(command, cwd=None):
    """Run a tool whose failure is this attempt's: a package index may answer the next one."""
    if subprocess.run(command, cwd=cwd, check=False).returncode:
        sys.exit("launcher: the requirements could not be installed; see above")


def trigger():
    """What started the Job: what a pipeline says of itself, else its schedule, else a person."""
    if said := os.environ.get("JOB_TRIGGER"):
        return said
    # The CronJob controller names its Jobs by the minute they were due, a number; nobody else does.
    scheduled = re.escape(os.environ.get("JOB_NAME", "")) + r"-\d{8,}"
    return "schedule" if re.fullmatch(scheduled, os.environ.get("JOB_RUN", "")) else "manual"


def tags_of_this_pod(commit):
    """What tells later which template, Job, image and commit a run came from."""
    tags = {"mlflow.source.git.commit": commit} if commit else {}
    names = {"job.name": "JOB_NAME", "job.run": "JOB_RUN", "job.uid": "JOB_UID", "job.image": "JOB_IMAGE"}
    tags |= {tag: os.environ[name] for tag, name in names.items() if os.environ.get(name)}
    if "JOB_NAME" in os.environ:
        tags["job.trigger"] = trigger()
    return tags


def attempt(client, experiment, tags):
    """Which attempt of its Job this is, and the run it replaces; a killed one's run is closed for it."""
    if "job.uid" not in tags:
        return {}
    found = client.search_runs(
        [experiment], f"tags.`job.uid` = '{tags['job.uid']}'", order_by=["attributes.start_time DESC"]
    )
    numbered = {"job.attempt": str(len(found) + 1)}
    if found:
        numbered["job.replaces"] = found[0].info.run_id
        if found[0].info.status == "RUNNING":  # its pod had no time to say so
            client.set_terminated(found[0].info.run_id, "KILLED")
    return numbered


def opened(mlflow, args, folder, experiment, tags):
    """Open the run and start the code in it.

    :returns: the run's id and the process, leader of a process group of its own.
    """
    client = mlflow.MlflowClient()
    name = os.environ.get("JOB_RUN")
    if name and tags.get("job.attempt", "1") != "1":
        name += f"-attempt-{tags['job.attempt']}"
    if args.module or args.command:
        words = ["python", "-m", args.module, *args.words] if args.module else args.words
        described = {"mlflow.source.type": "JOB", "mlflow.source.name": " ".join(words)}
        run = client.create_run(experiment, tags={**described, **tags}, run_name=name)
        own = {"MLFLOW_RUN_ID": run.info.run_id, "MLFLOW_EXPERIMENT_ID": experiment}
        try:
            process = subprocess.Popen(words, cwd=folder, env={**os.environ, **own}, start_new_session=True)
        except OSError as error:
            client.set_terminated(run.info.run_id, "FAILED")
            raise Wrong(f"{words[0]} cannot be run: {error.strerror}") from None
        return run.info.run_id, process
    submitted = mlflow.projects.run(
        str(folder),
        entry_point=args.entry_point,
        experiment_id=experiment,
        parameters=pairs(args.param),
        env_manager="local",
        run_name=name,
        synchronous=False,
    )
    try:
        told = [mlflow.entities.RunTag(tag, value) for tag, value in tags.items()]
        client.log_batch(submitted.run_id, tags=told)
    except BaseException:
        # Without its tags no later attempt would find the run and close it.
        stop(submitted.command_proc)
        client.set_terminated(submitted.run_id, "FAILED")
        raise
    return submitted.run_id, submitted.command_proc


def check_entry_point(folder, name, parameters):
    """Refuse what MLflow would let pass: a misspelt parameter reaches a script as an option of that name."""
    import yaml  # comes with MLflow

    file = folder / "MLproject"
    if not file.is_file():
        raise Wrong("the project has no MLproject file; add one, or give a module or a command")
    known = (yaml.safe_load(file.read_text()) or {}).get("entry_points") or {}
    if name not in known:
        raise Wrong(f"MLproject has no entry point {name}; it has: {', '.join(sorted(known)) or 'none'}")
    declared = known[name].get("parameters") or {}
    for parameter in parameters:
        if parameter not in declared:
            listed = ", ".join(sorted(declared)) or "none"
            raise Wrong(f"entry point {name} has no parameter {parameter}; it has: {listed}")


def stop(process):
    """End the code: asked first, killed when it takes too long."""
    for number, patience in ((signal.SIGTERM, CHILD_SECONDS), (signal.SIGKILL, 5)):
        if process.poll() is None:
            try:
                os.killpg(process.pid, number)
                process.wait(patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def launch(args, signals):
    """Everything from the code to the run's end; the exit code."""
    check_needs(args.needs)
    folder, commit = located(args)
    place = workspace(args)
    if place:
        os.environ["WORKSPACE"] = str(place)
    if not (args.module or args.command):
        check_entry_point(folder, args.entry_point, pairs(args.param))
    install(args, folder, place)

    import mlflow  # seconds, and not needed before

    experiment = mlflow.set_experiment(args.experiment).experiment_id
    client = mlflow.MlflowClient()
    tags = {**tags_of_this_pod(commit), **pairs(args.tag)}
    tags |= attempt(client, experiment, tags)
    run_id, process = None, None
    try:
        with signals:
            run_id, process = opened(mlflow, args, folder, experiment, tags)
        # `make run` reads this line, so it is printed whatever the log level.
        print(f"launcher: experiment {experiment} run {run_id}", flush=True)
        code = process.wait()
    except (Stopped, KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        log.warning("stopped from outside; ending the run")
        if process is not None:
            stop(process)
            client.set_terminated(run_id, "KILLED")
        return STOPPED
    if args.module or args.command:
        client.set_terminated(run_id, "FAILED" if code else "FINISHED")
    log.info("the run %s", "failed" if code else "succeeded")
    if code == MISDESCRIBED:
        return 1  # the code's own word for something else; it has its retries
    return code if code >= 0 else 128 - code


def parsed(argv):
    """The arguments; ``words`` are those after ``--``, which are the code's own."""
    end = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", help="the code's folder, or git-sync's link to it")
    parser.add_argument("--path", default="", help="the project's folder in it")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--entry-point", default="main", help="of the MLproject file")
    parser.add_argument("--param", action="append", default=[], help="name=value, of the entry point")
    parser.add_argument("--module", help="instead of an entry point: a module, with the words after --")
    parser.add_argument("--command", action="store_true", help="instead: the words after -- are a command")
    parser.add_argument("--tag", action="append", default=[], help="name=value")
    parser.add_argument("--workspace", help="where each Job gets a folder")
    parser.add_argument("--keep-days", type=int, default=0, help="of unchanged folders there; 0 for ever")
    parser.add_argument("--needs", action="append", default=[], help="a variable that a Secret holds")
    parser.add_argument("--requirement", action="append", default=[], help="a package, as pip writes it")
    parser.add_argument("--requirements-file", help="in the project's folder")
    parser.set_defaults(words=argv[end + 1 :])
    return parser.parse_args(argv[:end])


def main():
    args = parsed(sys.argv[1:])
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stdout)
    log.setLevel(os.environ.get("LAUNCHER_LOG_LEVEL", "INFO"))
    try:
        return launch(args, Signals())
    except Wrong as wrong:
        log.error("%s", wrong)  # noqa: TRY400 - the line is the message
        return MISDESCRIBED
    except Stopped:
        log.warning("stopped from outside before a run was opened")
        return STOPPED
    except Exception as error:
        # MLflow's own words: an unknown entry point or parameter, a server that refuses.
        log.error("%s: %s", type(error).__name__, error)  # noqa: TRY400
        log.debug("in full", exc_info=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
