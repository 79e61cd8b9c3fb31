"""The project that the service tests run from Git: a job that registers a model, and code that serves."""

from __future__ import annotations

MODEL = "line"
ALIAS = "live"
MLPROJECT = """
name: line
entry_points:
  main:
    parameters:
      slope: {type: float, default: 2}
      alias: {type: string, default: candidate}
    command: "python learn.py {slope} {alias}"
"""
LEARN = f"""
import sys
import mlflow, pandas
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

slope, alias = float(sys.argv[1]), sys.argv[2]
with mlflow.start_run():
    x = pandas.DataFrame({{"x": [0.0, 1.0, 2.0]}})
    model = LinearRegression().fit(x, slope * x["x"])
    made = mlflow.sklearn.log_model(
        model, name="model", signature=infer_signature(x, model.predict(x)), registered_model_name="{MODEL}",
        pip_requirements=["scikit-learn"],
    )
    mlflow.MlflowClient().set_registered_model_alias("{MODEL}", alias, made.registered_model_version)
"""
APP = """
import os, time
from fastapi import FastAPI
from marker import VALUE

app = FastAPI()

@app.get("/health")
def health():
    return "ok"

@app.get("/")
def root():
    return VALUE + os.environ.get("MORE", "")

@app.get("/slow")
def slow():
    time.sleep(3)
    return root()
"""


def files(marker: str = "first") -> dict[str, str | bytes]:
    """Path → content."""
    return {
        "project/MLproject": MLPROJECT,
        "project/learn.py": LEARN,
        "project/app.py": APP,
        "project/marker.py": f"VALUE = '{marker}'\n",
    }


ASK = """
import collections, json, os, sys, threading, time, urllib.request

url, body, wanted, least = *sys.argv[1:4], int(sys.argv[4])
seen, failed, lock = collections.Counter(), [], threading.Lock()
ended = time.monotonic() + float(sys.argv[5])
since = collections.deque(maxlen=60)
headers = {"Content-Type": "application/json"}

def ask():
    while time.monotonic() < ended:
        try:
            request = urllib.request.Request(url, body.encode() or None, headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = json.dumps(json.load(answer, parse_float=lambda number: round(float(number), 6)))
            with lock:
                if not seen:
                    print("begun", flush=True)
                seen[text] += 1
                since.append(text)
                enough = sum(seen.values()) >= least and os.path.exists("/tmp/enough")
                if enough and len(since) == 60 and set(since) == {wanted}:
                    return
        except Exception as error:
            with lock:
                failed.append(f"{time.time():.1f} {type(error).__name__}: {error}")
        time.sleep(0.05)

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
count = sum(seen.values())
print(json.dumps({"seen": seen, "failed": failed[:20], "count": count, "last": list(since)[-1:]}))
"""
"""Ask a service again and again, each time by a new connection, until there is /tmp/enough, the last 60
answers are the wanted one and there were enough: URL, JSON to post ("" for a GET), wanted answer, how many,
seconds at most. It says "begun" after the first answer."""

BREAK = f"""
import json, mlflow

class Broken(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        raise ValueError("the weights are gone")

    def predict(self, context, model_input):
        return model_input

mlflow.set_experiment("broken")
with mlflow.start_run():
    made = mlflow.pyfunc.log_model(
        name="model", python_model=Broken(), registered_model_name="{MODEL}",
        pip_requirements=["scikit-learn"],
    )
print(json.dumps(str(made.registered_model_version)))
"""
"""Register a version that does not load; its number."""
