from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "rollbackhub.executions"
    label = "executions"
