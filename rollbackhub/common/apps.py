from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "rollbackhub.common"
    label = "common"
