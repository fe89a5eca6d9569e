from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "rollbackhub.audit"
    label = "audit"
