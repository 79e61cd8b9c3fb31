"""A team's own Pulumi program: MLflow jobs beside whatever else the team keeps in its namespace.

``components`` comes from a checkout of MLflow on Kubernetes, such as a Git submodule, pinned by its commit.
"""

import sys
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from components.contracts import Images
from components.jobs.jobs import Jobs, JobsArgs
from components.settings.jobs import Job
from components.third_party import GIT_SYNC
from components.tracking.existing import ExistingServer, ExistingServerArgs

config = pulumi.Config()
cluster = kubernetes.Provider(
    "cluster", context=config.require("context"), kubeconfig=config.get("kubeconfig")
)
opts = pulumi.ResourceOptions(providers=[cluster])
server = ExistingServer(
    "team-a",
    ExistingServerArgs(
        url=config.require("trackingUrl"),
        namespace=config.require("namespace"),
        service_account=config.get("serviceAccount") or "default",
    ),
    opts=opts,
)
job_image = config.require("jobImage")
Jobs(
    "team-a-jobs",
    JobsArgs(
        # In the words of a stack file; docs/settings.md lists them.
        settings={
            "churn": Job.model_validate(
                {
                    "git": {"repo": config.require("repo"), "path": "train"},
                    "parameters": {"alpha": 0.3},
                    "schedule": "0 6 * * 1",
                    "timeZone": "Europe/Berlin",
                }
            )
        },
        access=server.access,
        images=Images(server=job_image, job=job_image, third_party={GIT_SYNC.name: GIT_SYNC.reference}),
    ),
    opts=opts,
)
pulumi.export("jobs", ["churn"])
