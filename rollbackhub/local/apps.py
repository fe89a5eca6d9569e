from django.apps import AppConfig


class LocalConfig(AppConfig):
    name = "rollbackhub.local"
    label = "local"
