from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "rollbackhub.accounts"
    label = "accounts"
