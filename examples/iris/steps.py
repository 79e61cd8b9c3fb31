"""From several tuned models to the one that others look up: the steps, for scripts and notebooks.

Data: Fisher's irises, which scikit-learn brings along; four lengths in cm, three species.
"""

import json
import random
import urllib.request

import mlflow
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "iris-species"
ALIAS = "champion"
METRIC = "test_log_loss"
"""The smaller the better; unlike the share of right answers it tells good models of 38 flowers apart."""
SPACE = {"C": (0.01, 0.1, 1.0, 10.0), "l1_ratio": (0.0, 0.5, 1.0)}
"""Strength of the data against the penalty, and the share of L1 in it."""


def data(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    """Measurements and species (by name) to learn from and to judge by."""
    flowers = load_iris(as_frame=True)
    species = flowers.target.map(dict(enumerate(flowers.target_names)))
    return train_test_split(flowers.data, species, test_size=0.25, random_state=seed, stratify=species)


def tune(trials: int, seed: int) -> str:
    """Train ``trials`` models, each in a run of its own below one parent; the parent's id."""
    drawn = random.Random(seed)  # noqa: S311 - a search, no secret
    train_x, test_x, train_y, test_y = data(seed)
    with mlflow.start_run() as parent:  # the run that a job opened, or a new one
        for _ in range(trials):
            chosen = {name: drawn.choice(values) for name, values in SPACE.items()}
            with mlflow.start_run(nested=True):
                classifier = LogisticRegression(**chosen, solver="saga", max_iter=5000, random_state=seed)
                model = make_pipeline(StandardScaler(), classifier).fit(train_x, train_y)
                shares = model.predict_proba(test_x)
                mlflow.log_params(chosen)
                mlflow.log_metric(METRIC, log_loss(test_y, shares, labels=model.classes_))
                mlflow.log_metric("test_accuracy", accuracy_score(test_y, model.predict(test_x)))
                mlflow.sklearn.log_model(
                    model,
                    name="model",
                    # Names of the columns that it wants, and that it answers with a species by name.
                    signature=infer_signature(test_x, model.predict(test_x)),
                    metadata={"classes": list(model.classes_)},
                    pip_requirements=[
                        f"mlflow=={mlflow.__version__}",
                        f"scikit-learn=={sklearn.__version__}",
                    ],
                )
        mlflow.set_tag("trials", trials)
    return parent.info.run_id


def best(experiment: str) -> mlflow.entities.Run:
    """The run of the experiment whose model judges best, of all that were ever tuned.

    :raises LookupError: when there is none.
    """
    found = mlflow.search_runs(
        experiment_names=[experiment],
        filter_string=f"metrics.{METRIC} < 1000 and attributes.status = 'FINISHED'",
        order_by=[f"metrics.{METRIC} ASC"],
        max_results=1,
        output_format="list",
    )
    if not found:
        raise LookupError(f"experiment {experiment} has no tuned model yet")
    return found[0]


def register(run: mlflow.entities.Run) -> str:
    """Register a run's model with its columns and classes; its version. One that is registered stays."""
    client = mlflow.MlflowClient()
    for version in client.search_model_versions(f"name = '{MODEL}'"):
        if version.run_id == run.info.run_id:
            return str(version.version)
    model = mlflow.models.get_model_info(f"runs:/{run.info.run_id}/model")
    made = mlflow.register_model(
        f"runs:/{run.info.run_id}/model",
        MODEL,
        tags={
            "features": json.dumps(model.signature.inputs.input_names()),
            "classes": json.dumps(model.metadata["classes"]),
            METRIC: str(run.data.metrics[METRIC]),
        },
    )
    return str(made.version)


def promote(version: str) -> None:
    """Make a version the one that the alias leads to; who asks for the alias next gets it."""
    mlflow.MlflowClient().set_registered_model_alias(MODEL, ALIAS, version)


def retrieve() -> tuple[mlflow.pyfunc.PyFuncModel, dict[str, list[str]]]:
    """The model that the alias leads to, with the names of its columns and classes."""
    return mlflow.pyfunc.load_model(f"models:/{MODEL}@{ALIAS}"), names()


def names() -> dict[str, list[str]]:
    """Columns and classes of the model that the alias leads to."""
    version = mlflow.MlflowClient().get_model_version_by_alias(MODEL, ALIAS)
    return {key: json.loads(version.tags[key]) for key in ("features", "classes")}


def ask(server: str, flowers: pd.DataFrame) -> list[str]:
    """The species of flowers, from a server of the model such as ``http://iris-species``."""
    body = json.dumps({"dataframe_split": flowers.to_dict("split", index=False)}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/invocations", body, headers)  # noqa: S310 - the caller's server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)["predictions"]
