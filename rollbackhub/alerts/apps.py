from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "rollbackhub.alerts"
    label = "alerts"
