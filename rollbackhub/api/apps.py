from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "rollbackhub.api"
    label = "api"
