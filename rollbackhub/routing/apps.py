from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "rollbackhub.routing"
    label = "routing"
