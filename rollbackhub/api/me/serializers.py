"""The caller, as it is answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.rules import Capability
from rollbackhub.api.fields import Choice
from rollbackhub.api.tokens.serializers import TokenRow


class MeRow(serializers.Serializer[Any]):
    """Who you are, and what you may do as you come."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField()
    timezone = serializers.CharField(help_text="IANA name; pages show instants in it, this API always UTC")
    roles = serializers.ListField(child=Choice(Role.choices))
    capabilities = serializers.ListField(child=Choice([str(capability) for capability in Capability]))
    token = TokenRow(allow_null=True, help_text="The token that you came with; null in a session")
