from django.apps import AppConfig


class ActionsConfig(AppConfig):
    name = "rollbackhub.actions"
    label = "actions"
