"""What pods log and read back: small scripts for the job image, and what must come back from them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.stack import Stack

LOG = """
import json, os, sys, tempfile, mlflow, pandas
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

name = sys.argv[1]
mlflow.set_experiment(name)
with mlflow.start_run() as run:
    mlflow.log_params({"alpha": 0.25, "text": "ä € 漢"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    blob = os.urandom(2_000_000)
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/deep/er")
        open(f"{folder}/deep/er/blob.bin", "wb").write(blob)
        mlflow.log_artifacts(folder, "data")
    x = pandas.DataFrame({"x": [0.0, 1.0, 2.0]})
    model = LinearRegression().fit(x, [1.0, 3.0, 5.0])
    info = mlflow.sklearn.log_model(
        model, name="model", signature=infer_signature(x, model.predict(x)), registered_model_name=name,
        pip_requirements=["scikit-learn"],
    )
    mlflow.MlflowClient().set_registered_model_alias(name, "live", info.registered_model_version)
import hashlib
print(json.dumps({"run": run.info.run_id, "blob": hashlib.sha256(blob).hexdigest()}))
"""

READ = """
import hashlib, json, sys, mlflow, pandas

name, run_id = sys.argv[1:]
client = mlflow.MlflowClient()
run = client.get_run(run_id)
history = client.get_metric_history(run_id, "loss")
blob = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="data/deep/er/blob.bin")
model = mlflow.pyfunc.load_model(f"models:/{name}@live")
print(json.dumps({
    "status": run.info.status,
    "params": run.data.params,
    "losses": [[metric.step, metric.value] for metric in history],
    "blob": hashlib.sha256(open(blob, "rb").read()).hexdigest(),
    "prediction": [float(value) for value in model.predict(pandas.DataFrame({"x": [10.0]}))],
    "signed": model.metadata.signature is not None,
}))
"""


@dataclass(frozen=True)
class Logged:
    """A run that a pod logged.

    :ivar blob: SHA-256 of its artifact.
    """

    experiment: str
    run: str
    blob: str


def log_from_a_pod(stack: Stack, experiment: str = "from-a-pod") -> Logged:
    """Log a run with parameters, a metric, an artifact in a folder and a registered model."""
    told = stack.python(LOG, experiment)
    return Logged(experiment, told["run"], told["blob"])


def assert_readable_from_another_pod(stack: Stack, logged: Logged) -> None:
    """Everything is there, and the model predicts."""
    told = stack.python(READ, logged.experiment, logged.run)
    assert told["status"] == "FINISHED"
    assert told["params"] == {"alpha": "0.25", "text": "ä € 漢"}
    assert told["losses"] == [[step, 1 / (step + 1)] for step in range(3)]
    assert told["blob"] == logged.blob
    assert abs(told["prediction"][0] - 21) < 1e-6  # it learnt 2 x + 1
    assert told["signed"]
