"""MLflow: an alias of a registered model or prompt points to the version that serves."""

from rollbackhub.connectors.mlflow.connector import MlflowConnector
from rollbackhub.connectors.mlflow.settings import MlflowSettings, MlflowTarget

__all__ = ["MlflowConnector", "MlflowSettings", "MlflowTarget"]
