from django.apps import AppConfig


class PostmortemsConfig(AppConfig):
    name = "rollbackhub.postmortems"
    label = "postmortems"
