"""How a diabetes patient's disease develops within a year, by an elastic net on scikit-learn's bundled data.

Logs what a first run should show: parameters, metrics (autolog's and our own), a folder of artifacts,
and a model with signature that is registered under an alias. Takes a few seconds and no download.
"""

import argparse
import json
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display in a pod

import matplotlib.pyplot as plt
import mlflow
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

REGISTERED_NAME = "quickstart-diabetes"
ALIAS = "candidate"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, required=True, help="strength of the penalty")
    parser.add_argument("--l1-ratio", type=float, required=True, help="share of L1 in the penalty")
    parser.add_argument("--test-share", type=float, required=True, help="share of rows held out")
    # mlflow's number type is float: `42` arrives as `42.0` from some clients.
    parser.add_argument("--seed", type=lambda text: int(float(text)), required=True)
    return parser.parse_args()


def write_report(folder: Path, truth: pd.Series, predicted: pd.Series, coefficients: pd.Series) -> None:
    """A plot, two tables and a summary, the folder that the run keeps as ``report``."""
    table = pd.DataFrame({"truth": truth, "predicted": predicted})
    table.to_csv(folder / "predictions.csv", index_label="row")
    coefficients.to_csv(folder / "coefficients.csv", index_label="feature", header=["weight"])
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.scatter(table["truth"], table["predicted"], s=14, alpha=0.6)
    ends = [table.to_numpy().min(), table.to_numpy().max()]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(xlabel="measured progression", ylabel="predicted progression")
    figure.savefig(folder / "predictions.png", dpi=120)
    used = {"rows": len(table), "features_in_use": int((coefficients != 0).sum())}
    (folder / "summary.json").write_text(json.dumps(used, indent=1) + "\n")


def main() -> None:
    args = arguments()
    features, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    # Whole numbers could not hold a missing value later, and MLflow warns about them in a signature.
    features = features.astype(float)
    train_x, test_x, train_y, test_y = train_test_split(
        features, target, test_size=args.test_share, random_state=args.seed
    )
    # The model is logged below, with a signature and under a name of its own.
    mlflow.sklearn.autolog(log_models=False)
    with mlflow.start_run():  # the run that `mlflow run` opened, or a new one
        model = make_pipeline(
            StandardScaler(), ElasticNet(alpha=args.alpha, l1_ratio=args.l1_ratio, random_state=args.seed)
        ).fit(train_x, train_y)
        predicted = pd.Series(model.predict(test_x), index=test_y.index)
        coefficients = pd.Series(model[-1].coef_, index=features.columns)
        mlflow.log_metrics(
            {
                "test_rmse": root_mean_squared_error(test_y, predicted),
                "test_mae": mean_absolute_error(test_y, predicted),
                "test_r2": r2_score(test_y, predicted),
                "features_in_use": int((coefficients != 0).sum()),
            }
        )
        with tempfile.TemporaryDirectory() as folder:
            write_report(Path(folder), test_y, predicted, coefficients)
            mlflow.log_artifacts(folder, "report")
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(test_x, predicted),
            input_example=test_x.head(3),
            registered_model_name=REGISTERED_NAME,
            # Named here, since finding them out would load the model once more, in another process.
            pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
        )
        version = str(logged.registered_model_version)
        mlflow.MlflowClient().set_registered_model_alias(REGISTERED_NAME, ALIAS, version)
        print(f"registered {REGISTERED_NAME} version {version} as @{ALIAS}", flush=True)


if __name__ == "__main__":
    main()
