"""Fetch a model from the registry, then become MLflow's own scoring server for it.

The first process of a model server's pod, as ``python -m launcher.serve_model``. It ends as uvicorn, which
finishes the requests it has on SIGTERM; ``mlflow models serve`` as a first process ignores that signal.
MLflow and the standard library only, Python 3.10 and newer.
"""

import argparse
import logging
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from . import launcher

log = logging.getLogger("model server")


def command_of(folder, port, drain):
    """What serves the model in ``folder``, and its environment: MLflow's own command, with an end to it.

    :param drain: seconds for the requests that a pod has when it is ended.
    """
    from mlflow.pyfunc import scoring_server  # seconds, and not needed before

    command, env = scoring_server.get_cmd(str(folder), port, "0.0.0.0", None, 1)  # noqa: S104 - a pod's own
    words = shlex.split(command.removeprefix("exec "))
    # As a module, so that it runs in the environment into which requirements were installed.
    return ["python", "-m", *words, "--no-access-log", f"--timeout-graceful-shutdown={drain}"], env


def fetched(uri):
    """The model's folder on this pod's disk."""
    import mlflow

    target = tempfile.mkdtemp(prefix="model-", dir=os.environ.get("TMPDIR"))
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=target))


def installed(folder):
    """Install what the model says it needs, on top of the image's packages."""
    args = argparse.Namespace(requirement=[], requirements_file="requirements.txt")
    launcher.log.setLevel(logging.INFO)
    launcher.install(args, folder, None)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--drain", type=int, required=True)
    parser.add_argument("--install", action="store_true", help="what the model's requirements.txt lists")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stdout)
    log.setLevel(logging.INFO)
    uri = os.environ.get("MODEL_URI")
    if not uri:
        log.error("no version of the model is known yet; this server is started once there is one")
        return launcher.MISDESCRIBED
    try:
        folder = fetched(uri)
        if args.install:
            installed(folder)
        command, env = command_of(folder, args.port, args.drain)
    except launcher.Wrong as wrong:
        log.error("%s", wrong)  # noqa: TRY400 - the line is the message
        return launcher.MISDESCRIBED
    except Exception as error:
        # MLflow's own words: no such model, a server that refuses.
        log.error("%s: %s: %s", uri, type(error).__name__, error)  # noqa: TRY400
        return 1
    log.info("serving %s", uri)
    sys.stdout.flush()
    return os.execvpe(command[0], command, env)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
