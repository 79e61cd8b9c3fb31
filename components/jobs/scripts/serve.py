"""Run a service's code, and pass SIGTERM on to it.

The first process of a service's pod, as ``python -m launcher.serve``. SIGTERM does not end a first process
that sets no handler: plain code would be killed after the whole grace period. A child of this one it ends.
The standard library only, Python 3.10 and newer.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys

from . import launcher

log = logging.getLogger("service")


class Child:
    """The code's process, leader of a process group of its own; SIGTERM reaches all of it.

    Before there is one, SIGTERM ends this process.
    """

    def __init__(self):
        self.process, self.ended = None, False
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_term(self, _signal, _frame):
        self.ended = True
        if self.process is None:
            sys.exit(launcher.STOPPED)
        os.killpg(self.process.pid, signal.SIGTERM)

    def run(self, words, folder):
        """The exit code of the code; what it leaves behind is reaped on the way, as by any first process."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            self.process = subprocess.Popen(words, cwd=folder, preexec_fn=_ready, start_new_session=True)
        except OSError as error:
            raise launcher.Wrong(f"{words[0]} cannot be run: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        while True:
            pid, status = os.wait()
            if pid == self.process.pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return (
                    128 - self.process.returncode if self.process.returncode < 0 else self.process.returncode
                )


def _ready():
    """The mask is inherited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def parsed(argv):
    """The arguments; ``words`` are those after ``--``, which are the code's own."""
    end = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", help="the code's folder, or git-sync's link to it")
    parser.add_argument("--path", default="", help="the project's folder in it")
    parser.add_argument("--module", help="a module, with the words after --; without it they are a command")
    parser.add_argument("--requirement", action="append", default=[], help="a package, as pip writes it")
    parser.add_argument("--requirements-file", help="in the project's folder")
    parser.set_defaults(words=argv[end + 1 :])
    return parser.parse_args(argv[:end])


def main():
    child = Child()
    args = parsed(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
    try:
        folder, commit = launcher.located(args)
        launcher.install(args, folder, None)
        log.info("commit %s", commit or "unknown")
        words = ["python", "-m", args.module, *args.words] if args.module else args.words
        code = child.run(words, folder)
    except launcher.Wrong as wrong:
        log.error("%s", wrong)  # noqa: TRY400 - the line is the message
        return launcher.MISDESCRIBED
    # Asked to end, it has done what it should, however it says so.
    return 0 if child.ended else code


if __name__ == "__main__":
    sys.exit(main())
