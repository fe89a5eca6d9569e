from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "rollbackhub.analytics"
    label = "analytics"
