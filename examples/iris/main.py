"""The steps as a script: `python main.py tune promote predict`; `ask` where the model is served."""

import argparse
import os

import mlflow
import pandas as pd

import steps

FLOWER = [5.1, 3.5, 1.4, 0.2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="+", choices=("tune", "promote", "predict", "ask"))
    # mlflow's number type is float: `4` arrives as `4.0` from some clients.
    parser.add_argument("--trials", type=lambda text: int(float(text)), default=4)
    parser.add_argument("--seed", type=lambda text: int(float(text)), default=7)
    parser.add_argument("--server", default="http://iris-species", help="of the promoted model")
    args = parser.parse_args()
    for step in args.steps:
        if step == "tune":
            steps.tune(args.trials, args.seed)
            print(f"tuned {args.trials} models", flush=True)
        elif step == "promote":
            run = steps.best(experiment())
            version = steps.register(run)
            steps.promote(version)
            loss = run.data.metrics[steps.METRIC]
            print(
                f"{steps.MODEL} version {version} is now @{steps.ALIAS}: {steps.METRIC} {loss:.3f}",
                flush=True,
            )
        elif step == "predict":
            model, names = steps.retrieve()
            flower = pd.DataFrame([FLOWER], columns=names["features"])
            print(f"a flower of {flower.to_dict('records')[0]} is {model.predict(flower)[0]}", flush=True)
        else:
            features = steps.names()["features"]
            (species,) = steps.ask(args.server, pd.DataFrame([FLOWER], columns=features))
            print(f"{args.server} says that a flower of {FLOWER} is {species}", flush=True)


def experiment() -> str:
    """The experiment that a job runs in, or the one that a person has chosen."""
    identity = os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
    return mlflow.get_experiment(identity).name


if __name__ == "__main__":
    main()
