"""What people send about channels and about what a team is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms

from rollbackhub.accounts.models import Team
from rollbackhub.common.errors import InvalidInput
from rollbackhub.notifications.catalogue import CHOOSABLE, URGENT
from rollbackhub.notifications.domain.wishes import Wish
from rollbackhub.notifications.enums import DeliveryState, Digest, Topic
from rollbackhub.notifications.models import Channel, QuietHours, Rule

_TEXT = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}
_SELECT = {"class": "form-select"}
_TIME = {"class": "form-control", "type": "time"}


class ChannelForm(forms.Form):
    """A channel. What does not fit, the domain says."""

    team = forms.ChoiceField(label="Team", widget=forms.Select(attrs=_SELECT), help_text="Who reads it.")
    name = forms.CharField(
        label="Name", max_length=100, widget=forms.TextInput(attrs={**_TEXT, "placeholder": "e.g. Slack #rollbacks"}), help_text="Where it is read."
    )
    address_ref = forms.CharField(
        label="Where its address is found",
        max_length=420,
        widget=forms.TextInput(attrs={**_TEXT, "placeholder": "env:NOTIFY_SLACK or file:/run/secrets/slack"}),
        help_text="The address is a secret: put it into an environment variable or a file of the hub, and name that here.",
    )

    def __init__(self, *args: Any, channel: Channel | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._teams = {team.slug: team for team in Team.objects.all()}
        self.fields["team"].choices = [(slug, team.name) for slug, team in self._teams.items()]  # type: ignore[attr-defined]
        if channel is not None:
            del self.fields["team"]
            self.initial = {"name": channel.name, "address_ref": channel.address_ref, **self.initial}

    def chosen_team(self) -> Team:
        """The team of a new one."""
        return self._teams[self.cleaned_data["team"]]

    def blame(self, error: InvalidInput) -> None:
        """What the domain refuses, at its field. A reference that was refused is not shown again: it may be the address itself."""
        for name, sentences in error.fields.items() or [("name", [error.message])]:
            for sentence in sentences:
                self.add_error(name if name in self.fields else None, sentence)
        if "address_ref" in error.fields:
            self.data = {name: "" if name == "address_ref" else self.data.get(name, "") for name in self.fields}


class DeliveryFilterForm(forms.Form):
    """Which deliveries a list shows; all of it stands in the address."""

    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *DeliveryState.choices])
    team = forms.ChoiceField(required=False, label="Team")
    topic = forms.ChoiceField(required=False, label="About", choices=[("", "Anything"), *Topic.choices])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].choices = [("", "All teams"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-select"

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


@dataclass(frozen=True)
class TopicRow:
    """The fields of one topic."""

    topic: Topic
    is_urgent: bool
    channels: forms.BoundField
    digest: forms.BoundField
    daily_at: forms.BoundField
    passes_quiet: forms.BoundField


class RulesForm(forms.Form):
    """All that a team is told, and its quiet hours."""

    starts = forms.TimeField(required=False, label="Quiet from", widget=forms.TimeInput(attrs=_TIME, format="%H:%M"))
    ends = forms.TimeField(required=False, label="Until", widget=forms.TimeInput(attrs=_TIME, format="%H:%M"))
    weekends = forms.BooleanField(required=False, label="Saturday and Sunday, too", widget=forms.CheckboxInput(attrs={"class": "form-check-input m-0"}))

    def __init__(self, *args: Any, channels: Sequence[Channel], rules: Sequence[Rule], quiet: QuietHours | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        by_topic = {Topic(rule.topic): rule for rule in rules}
        if quiet is not None:
            some = quiet.starts != quiet.ends
            self.initial.update({"starts": quiet.starts if some else None, "ends": quiet.ends if some else None, "weekends": quiet.weekends})
        for topic in CHOOSABLE:
            rule = by_topic.get(topic)
            said = topic.label
            self.fields[f"{topic}-channels"] = forms.MultipleChoiceField(
                required=False,
                choices=[(str(channel.pk), channel.name if channel.is_active else f"{channel.name} (off)") for channel in channels],
                widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input m-0"}),
                initial=[str(channel.pk) for channel in rule.channels.all()] if rule else [],
                label=f"{said}: channels",
            )
            self.fields[f"{topic}-digest"] = forms.ChoiceField(
                choices=Digest.choices,
                required=False,
                widget=forms.Select(attrs={**_SELECT, "aria-label": f"{said}: how soon"}),
                initial=rule.digest if rule else Digest.AT_ONCE,
            )
            self.fields[f"{topic}-daily_at"] = forms.TimeField(
                required=False,
                widget=forms.TimeInput(attrs={**_TIME, "aria-label": f"{said}: time of the daily message"}, format="%H:%M"),
                initial=rule.daily_at if rule else None,
            )
            self.fields[f"{topic}-passes_quiet"] = forms.BooleanField(
                required=False,
                widget=forms.CheckboxInput(attrs={"class": "form-check-input m-0", "aria-label": f"{said}: also in quiet hours"}),
                initial=rule.passes_quiet if rule else topic in URGENT,
            )

    def rows(self) -> Iterator[TopicRow]:
        """The topics, one after the other."""
        for topic in CHOOSABLE:
            yield TopicRow(
                topic=topic,
                is_urgent=topic in URGENT,
                channels=self[f"{topic}-channels"],
                digest=self[f"{topic}-digest"],
                daily_at=self[f"{topic}-daily_at"],
                passes_quiet=self[f"{topic}-passes_quiet"],
            )

    def wishes(self) -> list[Wish]:
        """What the domain takes."""
        values = self.cleaned_data
        return [
            Wish(
                topic=topic,
                channels=[UUID(chosen) for chosen in values[f"{topic}-channels"]],
                digest=Digest(values[f"{topic}-digest"] or Digest.AT_ONCE),
                daily_at=values[f"{topic}-daily_at"],
                passes_quiet=values[f"{topic}-passes_quiet"],
            )
            for topic in CHOOSABLE
        ]
