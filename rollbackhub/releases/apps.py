from django.apps import AppConfig


class ReleasesConfig(AppConfig):
    name = "rollbackhub.releases"
    label = "releases"
