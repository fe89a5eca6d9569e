from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "rollbackhub.dashboard"
    label = "dashboard"
