"""Run the stages of a pipeline: each once those it follows are done, those of one step at the same time.

Runs in a pod as ``python -m launcher.pipeline``, in a Job that is one run of the pipeline. A stage is a Job
made from its job's CronJob, or the rollout of a Deployment; Kubernetes does the work, retries and keeps the
state. The stages' Jobs are found by their labels, so that this pod's successor goes on where this one was
killed, and they belong to the pipeline's Job, so that they go when it is deleted.
"""

import argparse
import json
import logging
import os
import signal
import sys
import time
from datetime import datetime, timezone

from . import rollout
from .kubernetes import PASSING, Api, Late, Refused, Unreachable
from .pods import newest, why
from .stages import JOB, RUN, STAGE, ended, job_of, owned

JOBS = "batch/v1/jobs"
CRON_JOBS = "batch/v1/cronjobs"
FAILED, UNANSWERED, STOPPED = 1, 75, 143
"""Exit codes: a stage has failed for good; the API server stays away (EX_TEMPFAIL); SIGTERM (128 + 15). After
the last two the Job makes another pod."""
PERIOD = 2.0
"""Seconds between two looks at the stages."""
COMPLAIN = 30.0
"""Seconds between two looks at what their pods wait for."""
END_SECONDS = 50
"""For the stages' pods to close their runs (grace period 45 s), within this pod's own grace period."""

log = logging.getLogger("pipeline")


class Stopped(BaseException):
    """SIGTERM came."""


class Failed(Exception):  # noqa: N818 - what a person sees
    """The pipeline cannot come to its end."""


class Pipeline:
    """One run of a pipeline.

    :param stages: name → {"job": …, "parameters": [name=value], "retries", "deadlineSeconds"} or
        {"deployment": …}, each with "after": [names].
    :param run, uid: of the pipeline's own Job, or Workflow, which the stages' Jobs belong to.
    """

    def __init__(self, api, name, stages, run, uid):
        self.api, self.name, self.stages, self.run, self.uid = api, name, stages, run, uid
        self.begun, self.done, self.said, self.complained = set(), set(), {}, time.monotonic()

    def work(self):
        """Until all stages are done.

        :raises Failed: with the first stage that failed, once the others have ended.
        """
        start = time.monotonic()
        while not self.look():
            time.sleep(PERIOD)
        log.info(
            "%s: all %d stages are done, after %.0f s", self.run, len(self.stages), time.monotonic() - start
        )

    def look(self):
        """Start what can start, and note what is done; whether everything is."""
        jobs = {job["metadata"]["labels"][STAGE]: job for job in self._own_jobs()}
        # All before anything starts: a pod killed while it ended the others must not start them anew.
        for name, job in jobs.items():
            if name not in self.done:
                self._judge(name, job)
        for name in self.stages:
            if name not in self.done and name not in jobs:
                self._begin(name)
        if time.monotonic() - self.complained > COMPLAIN:
            self.complained = time.monotonic()
            self._complain([job for name, job in jobs.items() if name not in self.done])
        return len(self.done) == len(self.stages)

    def _judge(self, name, job):
        self.begun.add(name)
        verdict = ended(job)
        if verdict and verdict["type"] == "Failed":
            raise Failed(f"stage {name} failed: {self._cause(job, verdict)}")
        if verdict:
            self._note_done(name, f"Job {job['metadata']['name']}")

    def _begin(self, name):
        stage = self.stages[name]
        if not self.done.issuperset(stage.get("after", [])):
            return
        if "job" not in stage:
            self._roll(name, stage["deployment"])
        elif name in self.begun:
            raise Failed(f"stage {name}: somebody deleted its Job")
        else:
            self._start(name, stage)

    def _start(self, name, stage):
        template = self.api.get(CRON_JOBS, stage["job"])
        if template is None:
            raise Failed(f"stage {name}: there is no job {stage['job']}; `make up` makes it")
        if not self._room(name, template):
            return
        manifest = job_of(template, name, stage, pipeline=self.name, run=self.run, uid=self.uid)
        job = manifest["metadata"]["name"]
        try:
            self.api.create(JOBS, manifest)
        except Refused as refused:
            if refused.status in PASSING:
                raise
            if refused.status != 409:
                raise Failed(f"stage {name}: {refused}") from None
            # Ours, when the answer was lost on its way; it is found by its label then.
            there = self.api.get(JOBS, job)
            if there is not None and not owned(there, self.uid):
                raise Failed(f"stage {name}: there is a Job {job} that is not this pipeline's") from None
        self.begun.add(name)
        log.info("%s started, as Job %s", name, job)

    def _room(self, name, template):
        """Whether the job's own `concurrency` lets it start; runs of whatever origin count."""
        job, policy = template["metadata"]["name"], template["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Allow":
            return True
        others = [each for each in self.api.list(JOBS, labels=f"{JOB}={job}") if ended(each) is None]
        # Another stage of this very run is waited for: ending it would fail the pipeline.
        replaced = [each for each in others if policy == "Replace" and not owned(each, self.uid)]
        for other in replaced:
            self.api.delete(JOBS, other["metadata"]["name"])
        if others:
            verb = "ends" if replaced else "waits for"
            first = (replaced or others)[0]["metadata"]["name"]
            self._say(name, f"{name} {verb} Job {first} ({job} allows one run at a time)")
        return not others

    def _roll(self, name, deployment):
        mine = f"{self.run}/{name}"
        try:
            found = self.api.get(rollout.DEPLOYMENTS, deployment)
            # Whoever rolls it after this has newer pods made, which are as good.
            if found is None or (name not in self.begun and rollout.rolled_by(found) != mine):
                rollout.roll(self.api, deployment, by=mine, patience=0)
                self.begun.add(name)
            elif rollout.done(found, deployment):
                self._note_done(name, deployment)
            elif found["spec"].get("paused"):
                self._say(name, f"{name} waits: somebody paused Deployment {deployment}")
        except rollout.Away as trouble:
            self._say(name, f"{name} waits: {trouble}")  # the next look asks again
        except rollout.Failed as trouble:
            said = rollout.explained(self.api, deployment, trouble)
            raise Failed(f"stage {name} failed: {said}") from None

    def _note_done(self, name, what):
        self.done.add(name)
        log.info("%s is done (%s)", name, what)

    def _complain(self, jobs):
        """Tell what stands in the way of stages that have begun; it may pass by itself."""
        for job in jobs:
            name, stage = job["metadata"]["name"], job["metadata"]["labels"][STAGE]
            pods = self.api.list("v1/pods", labels=f"batch.kubernetes.io/job-name={name}")
            trouble = why(newest(pods) or {}) if pods else self._why_no_pod(name)
            if trouble:
                self._say(stage, f"{stage} waits: {trouble}")

    def _why_no_pod(self, job):
        fields = f"involvedObject.name={job},involvedObject.kind=Job,reason=FailedCreate"
        events = self.api.list("v1/events", fields=fields)
        return events[-1]["message"] if events else ""

    def _say(self, stage, line):
        if self.said.get(stage) != line:
            self.said[stage] = line
            log.warning("%s", line)

    def _cause(self, job, verdict):
        """Why a stage's Job failed, with the last lines of its last pod."""
        name = job["metadata"]["name"]
        told = f"Job {name}: {verdict.get('reason')}: {verdict.get('message')}"
        pods = self.api.list("v1/pods", labels=f"batch.kubernetes.io/job-name={name}")
        said = why(newest(pods) or {})
        return f"{told}\n{said}" if said else told

    def over(self):
        """Whether this run itself has ended, and not merely its pod: deleted, or over its deadline."""
        own = self.api.get(JOBS, self.run)
        if own is None or own["metadata"]["uid"] != self.uid or own["metadata"].get("deletionTimestamp"):
            return True
        conditions = own.get("status", {}).get("conditions", [])
        if any(
            each["type"] in ("Failed", "FailureTarget") and each["status"] == "True" for each in conditions
        ):
            return True
        start, limit = own.get("status", {}).get("startTime"), own["spec"].get("activeDeadlineSeconds")
        if not start or not limit:
            return False
        begun = datetime.fromisoformat(start.replace("Z", "+00:00"))
        return (datetime.now(timezone.utc) - begun).total_seconds() >= limit  # noqa: UP017 - Python 3.10

    def end(self):
        """End the stages that work; their pods close their runs.

        Under Argo Workflows, which starts them itself, this is all that is asked of here.
        """
        working = [job["metadata"]["name"] for job in self._own_jobs() if ended(job) is None]
        for job in working:
            log.info("ending Job %s", job)
            self.api.delete(JOBS, job)
        deadline = time.monotonic() + END_SECONDS
        for job in working:
            left = max(0.0, deadline - time.monotonic())
            try:
                self.api.until(JOBS, job, lambda found: True if found is None else None, seconds=left)
            except Late:
                log.warning("Job %s has not ended within %d s; Kubernetes goes on with it", job, END_SECONDS)

    def _own_jobs(self):
        return [job for job in self.api.list(JOBS, labels=f"{RUN}={self.run}") if owned(job, self.uid)]


def execute(pipeline):
    """Everything to the pipeline's end; the exit code."""
    try:
        pipeline.work()
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if pipeline.over():
            log.warning("stopped from outside")
            pipeline.end()
        else:
            log.warning("this pod was stopped, the pipeline goes on in the next one")
        return STOPPED
    except (Failed, Refused) as failed:
        if isinstance(failed, Refused) and failed.status in PASSING:
            raise
        log.error("%s", failed)  # noqa: TRY400 - the line is the message
        pipeline.end()
        left = ", ".join(sorted(set(pipeline.stages) - pipeline.done))
        # Once more as the last line, which stands in the pod's status.
        log.error("%s; not done: %s", str(failed).splitlines()[0], left)  # noqa: TRY400
        return FAILED
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the pipeline")
    parser.add_argument("--stages", help="as JSON; without it what still works of the run is ended")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stdout)
    for logger in (log, rollout.log):
        logger.setLevel(os.environ.get("LAUNCHER_LOG_LEVEL", "INFO"))

    def on_term(_signal, _frame):
        raise Stopped

    signal.signal(signal.SIGTERM, on_term)
    try:
        run, uid = os.environ["JOB_RUN"], os.environ["JOB_UID"]
        pipeline = Pipeline(Api(), args.name, json.loads(args.stages or "{}"), run, uid)
        return execute(pipeline) if args.stages else pipeline.end()
    except (Refused, Unreachable) as error:
        log.error("%s", error)  # noqa: TRY400 - the line is the message
        return UNANSWERED
    except Stopped:
        return STOPPED
    except Exception:
        # The stages work on, so another pod must look after them.
        log.exception("this should not have happened; the next pod tries again")
        return UNANSWERED


if __name__ == "__main__":
    sys.exit(main())
