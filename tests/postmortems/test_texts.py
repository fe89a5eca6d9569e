"""Two people who write at once lose nothing; causes; owner and day."""

from __future__ import annotations

import datetime as dt

import pytest

from rollbackhub.accounts.models import Notice
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.postmortems.domain.selectors import list_revisions
from rollbackhub.postmortems.domain.texts import answer_factor, change_postmortem, set_causes, write_section
from rollbackhub.postmortems.models import Cause, Section, TextRevision
from tests.databases import FreshDatabase
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.postmortems import PostmortemFactory
from tests.postmortems.conftest import events_of, who
from tests.threads import at_once


@pytest.mark.django_db
def test_second_writer_is_told_who_saved_what_and_when(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    write_section(postmortem_id=postmortem.pk, key="summary", text="Olga's text.", based_on=1, **who(cast.on_call))
    with pytest.raises(Conflict) as caught:
        write_section(postmortem_id=postmortem.pk, key="summary", text="Lee's text.", based_on=1, **who(cast.lead))
    extra = caught.value.extra
    assert (caught.value.code, extra["text"], extra["number"], extra["by"]) == ("text_moved", "Olga's text.", 2, "Olga Call")
    assert dt.datetime.fromisoformat(str(extra["at"])) <= now()
    assert "Olga Call has saved another text of “Summary”" in caught.value.message
    write_section(postmortem_id=postmortem.pk, key="impact", text="Lee's impact.", based_on=1, **who(cast.lead))
    write_section(postmortem_id=postmortem.pk, key="summary", text="Both.", based_on=2, **who(cast.lead))
    assert [row.text for row in list_revisions(postmortem, key="summary")] == ["Both.", "Olga's text."]


@pytest.mark.django_db
def test_saving_what_stands_there_already_changes_nothing(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    text = Section.objects.get(postmortem=postmortem, key="summary").text
    write_section(postmortem_id=postmortem.pk, key="summary", text=f"  {text}\r\n", based_on=0, **who(cast.on_call))
    assert not TextRevision.objects.exists()
    assert events_of(postmortem) == []


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["x" * 20_001, "a\x07b", "a\u200bb"])
def test_texts_that_cannot_be_kept_are_refused_at_their_field(text: str, cast: Cast) -> None:
    postmortem = PostmortemFactory()
    with pytest.raises(InvalidInput) as caught:
        write_section(postmortem_id=postmortem.pk, key="summary", text=text, based_on=1, **who(cast.on_call))
    assert list(caught.value.fields) == ["text"]


@pytest.mark.django_db
def test_second_answer_is_told_and_bad_ones_refused(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    factor = postmortem.factors.get(question__key="eval_gate")
    answer_factor(postmortem_id=postmortem.pk, key="eval_gate", answer="yes", words="No such case.", based_on=0, **who(cast.on_call))
    with pytest.raises(Conflict) as caught:
        answer_factor(postmortem_id=postmortem.pk, key="eval_gate", answer="no", words="", based_on=0, **who(cast.lead))
    assert (caught.value.extra["answer"], caught.value.extra["words"], caught.value.extra["by"]) == ("yes", "No such case.", "Olga Call")
    with pytest.raises(InvalidInput):
        answer_factor(postmortem_id=postmortem.pk, key="eval_gate", answer="perhaps", words="", based_on=1, **who(cast.lead))
    factor.refresh_from_db()
    assert (factor.answer, factor.number) == ("yes", 1)
    assert TextRevision.objects.get(key="factor:eval_gate").text == "Yes, it contributed. No such case."


@pytest.mark.django_db
def test_causes_come_from_the_vocabulary_or_are_added_once(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    set_causes(postmortem_id=postmortem.pk, slugs=["eval-gap"], own=["Noisy  neighbour", " ", "EVAL GAP"], **who(cast.on_call))
    assert sorted(postmortem.causes.values_list("name", flat=True)) == ["Eval gap", "Noisy neighbour"]
    another = PostmortemFactory()
    set_causes(postmortem_id=another.pk, slugs=[], own=["noisy neighbour"], **who(cast.lead))
    assert Cause.objects.filter(name__iexact="noisy neighbour").count() == 1
    for slugs, own, field in ((["nonsense"], [], "causes"), ([], ["x" * 61], "own"), ([], ["!!!"], "own"), ([], [f"Cause {n}" for n in range(11)], "causes")):
        with pytest.raises(InvalidInput) as caught:
            set_causes(postmortem_id=postmortem.pk, slugs=slugs, own=own, **who(cast.on_call))
        assert list(caught.value.fields) == [field]
    set_causes(postmortem_id=postmortem.pk, slugs=[], **who(cast.on_call))
    assert not postmortem.causes.exists()


@pytest.mark.django_db
def test_new_owner_is_told_and_must_be_able_to_work_on_it(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    change_postmortem(postmortem_id=postmortem.pk, owner=cast.lead, due_on=now().date(), **who(cast.on_call))
    assert Notice.objects.filter(user=cast.lead, subject__startswith="Now yours").count() == 1
    for nobody in (cast.auditor, cast.stranger, UserFactory(is_active=False)):
        with pytest.raises(InvalidInput):
            change_postmortem(postmortem_id=postmortem.pk, owner=nobody, **who(cast.on_call))


def test_two_writers_at_the_same_instant_one_saves_one_is_told(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    postmortem = PostmortemFactory()

    def save(number: int) -> str:
        user = (cast.on_call, cast.lead)[number]
        try:
            write_section(postmortem_id=postmortem.pk, key="summary", text=f"By {user}.", based_on=1, **who(user))
        except Conflict as error:
            return error.code
        return "saved"

    results = [str(result) for result in at_once(2, save)]
    assert sorted(results) == ["saved", "text_moved"]
    assert TextRevision.objects.filter(key="summary").count() == 1
