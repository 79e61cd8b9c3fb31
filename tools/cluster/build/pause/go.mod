module mlflow-on-kubernetes/build/pause

go 1.26.0
