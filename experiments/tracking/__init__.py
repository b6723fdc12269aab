"""MLflow tracking: runs, the model registry and rollout records. No other package imports mlflow."""
