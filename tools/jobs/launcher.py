"""Run one MLproject, and end its run properly whatever ends this process.

Runs inside the job image, or in the client environment on a developer's machine: MLflow and the standard
library only. ``mlflow run`` itself ignores SIGTERM as a pod's first process and leaves its run RUNNING
for ever (facts: a pod that is deleted gets exactly that signal).
"""

import argparse
import logging
import os
import signal
import sys

STOPPED = 143
"""Exit code of a process that SIGTERM ended."""

log = logging.getLogger("launcher")


class Stopped(BaseException):
    """SIGTERM. Raised only; cancelling inside the handler would deadlock on the child's own lock."""


def on_term(_signal, _frame):
    raise Stopped


def pairs(texts):
    """``["alpha=0.3"]`` as ``{"alpha": "0.3"}``."""
    return dict(text.split("=", 1) for text in texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", help="folder that holds the MLproject file")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--param", action="append", default=[], help="name=value")
    parser.add_argument("--tag", action="append", default=[], help="name=value")
    args = parser.parse_args()
    level = os.environ.get("LAUNCHER_LOG_LEVEL", "INFO")
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stdout)
    log.setLevel(level)
    signal.signal(signal.SIGTERM, on_term)

    import mlflow  # type: ignore[import-not-found]

    submitted = None
    try:
        submitted = mlflow.projects.run(
            args.project,
            experiment_name=args.experiment,
            parameters=pairs(args.param),
            env_manager="local",
            synchronous=False,
        )
        client = mlflow.MlflowClient()
        run = client.get_run(submitted.run_id)
        # `make train` reads this line, so it is printed whatever the log level.
        print(f"launcher: experiment {run.info.experiment_id} run {run.info.run_id}", flush=True)
        for name, value in pairs(args.tag).items():
            client.set_tag(submitted.run_id, name, value)
        succeeded = submitted.wait()
    except (Stopped, KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        log.warning("stopped from outside; ending the run")
        if submitted is not None:
            submitted.cancel()
            mlflow.MlflowClient().set_terminated(submitted.run_id, "KILLED")
        return STOPPED
    log.info("the run %s", "succeeded" if succeeded else "failed")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
