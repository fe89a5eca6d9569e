from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "rollbackhub.registry"
    label = "registry"
