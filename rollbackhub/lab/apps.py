from django.apps import AppConfig


class LabConfig(AppConfig):
    name = "rollbackhub.lab"
    label = "lab"
