"""API tokens as they are asked for and answered."""

from __future__ import annotations

from rest_framework import serializers

from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.models import ApiToken
from rollbackhub.accounts.rules import MAX_TOKEN_DAYS
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant


class TokenRequest(ApiSerializer):
    """A token to make."""

    name = serializers.CharField(max_length=100, help_text="Who or what uses it")
    scopes = serializers.ListField(child=Choice(Scope.choices), allow_empty=False)
    days = serializers.IntegerField(default=90, min_value=1, max_value=MAX_TOKEN_DAYS, help_text="How long it lives")


class TokenRow(ApiModelSerializer):
    """A token of one's own; the token itself is kept nowhere."""

    id = serializers.CharField(source="token_key", help_text="Its first characters")
    url = serializers.SerializerMethodField()
    scopes = serializers.ListField(child=Choice(Scope.choices))
    created_at = Instant(source="created")
    expires_at = Instant(source="expiry", allow_null=True)

    class Meta:
        model = ApiToken
        fields = ["id", "url", "name", "scopes", "created_at", "expires_at", "last_used_at"]

    def get_url(self, token: ApiToken) -> str:
        """Path of the API."""
        return f"/api/v1/tokens/{token.token_key}/"


class NewTokenRow(TokenRow):
    """A token just made."""

    token = serializers.CharField(allow_null=True, help_text="Shown this once. Null when a kept answer is given again for an Idempotency-Key")

    class Meta(TokenRow.Meta):
        fields = [*TokenRow.Meta.fields, "token"]
