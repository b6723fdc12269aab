"""MLflow: runs, the model registry and rollout records. The only place that imports mlflow."""
