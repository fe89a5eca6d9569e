from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "rollbackhub.notifications"
    label = "notifications"
