"""Puts RollbackHub's admin site in the place of Django's."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class SettingsAdminConfig(AdminConfig):
    """`django.contrib.admin` with our site (used in INSTALLED_APPS instead of it)."""

    default = False
    default_site = "rollbackhub.accounts.admin_site.SettingsSite"
