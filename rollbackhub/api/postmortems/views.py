"""Postmortems: which there are, one whole, writing it, review, publishing, closing, actions, and search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.actions.enums import ActionKind
from rollbackhub.api.fields import ApiSerializer, NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import named_person
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayRespond, MayRespondInPerson, MayView
from rollbackhub.api.postmortems.serializers import (
    ActionWanted,
    ApprovalNote,
    CauseNames,
    ChangesNote,
    FactorAnswerText,
    GatingChange,
    PostmortemActionRow,
    PostmortemCauseRow,
    PostmortemChange,
    PostmortemDetail,
    PostmortemDraft,
    PostmortemFactorRow,
    PostmortemFilters,
    PostmortemReviewerRow,
    PostmortemRow,
    PostmortemSectionRow,
    ReviewerNames,
    SearchAnswer,
    SearchQuery,
    SectionText,
)
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.postmortems.domain.actions import give_action, set_gating
from rollbackhub.postmortems.domain.drafting import draft_postmortem
from rollbackhub.postmortems.domain.reviewing import (
    approve_postmortem,
    ask_for_changes,
    close_postmortem,
    publish_postmortem,
    send_to_review,
    take_back,
)
from rollbackhub.postmortems.domain.search import search
from rollbackhub.postmortems.domain.selectors import get_postmortem, get_record, list_postmortems
from rollbackhub.postmortems.domain.texts import answer_factor, change_postmortem, set_causes, write_section
from rollbackhub.postmortems.models import PostmortemAction


class PostmortemList(PagedView):
    """All postmortems."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}
    filters = PostmortemFilters
    pagination_class = NewestFirstCursor
    serializer_class = PostmortemRow

    @extend_schema(operation_id="postmortems_list", summary="Postmortems, the newest first", responses=page_of(PostmortemRow, name="Postmortem"))
    def get(self, request: Request) -> Response:
        """Every filter may be combined with every other."""
        return self.paged(request)

    @extend_schema(
        operation_id="postmortems_create",
        summary="Draft the postmortem of an incident",
        request=PostmortemDraft,
        responses={201: OpenApiResponse(PostmortemRow, description="Drafted with what is known")},
    )
    def post(self, request: Request) -> Response:
        """Those of stable incidents are drafted by themselves. 409 `postmortem_exists` when there is one."""

        def act(key: str | None) -> Response:
            wanted = PostmortemDraft(data=request.data)
            wanted.is_valid(raise_exception=True)
            made = draft_postmortem(incident_id=wanted.validated_data["incident"], account=self.person, actor=self.actor)
            content = dict(PostmortemRow(get_postmortem(made.pk)).data)
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        if "owner" in query:
            query["owner"] = named_person(query["owner"])
        return list_postmortems(**query)


class PostmortemOne(OneView):
    """One postmortem."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}

    @extend_schema(operation_id="postmortems_retrieve", summary="One postmortem, whole", responses=PostmortemDetail)
    def get(self, request: Request, postmortem_id: UUID) -> HttpResponseBase:
        """Facts and timeline are the incident's until it is published; then they stand."""
        return self.answer(PostmortemDetail(get_record(postmortem_id)).data)

    @extend_schema(operation_id="postmortems_change", summary="Change its owner or its day", request=PostmortemChange, responses=PostmortemRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """A new owner is told."""

        def act(key: str | None) -> Response:
            get_postmortem(postmortem_id)
            wanted = PostmortemChange(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            if "owner" in values:
                values["owner"] = named_person(values["owner"])
            change_postmortem(postmortem_id=postmortem_id, account=self.person, actor=self.actor, **values)
            return Response(PostmortemRow(get_postmortem(postmortem_id)).data)

        return once(request, act)


class _Act(ApiView):
    """Something that is done to one postmortem: it must exist, then the body is read."""

    permission_classes = [MayRespond]

    def acted(self, request: Request, postmortem_id: UUID, body: type[ApiSerializer], act: Callable[[dict[str, Any]], Any]) -> Response:
        """Do it once, with the checked body. Without an answer of its own it is answered with the postmortem as it is then."""

        def do(key: str | None) -> Response:
            get_postmortem(postmortem_id)
            wanted = body(data=request.data)
            wanted.is_valid(raise_exception=True)
            content = act(dict(wanted.validated_data))
            return Response(PostmortemRow(get_postmortem(postmortem_id)).data if content is None else content)

        return once(request, do)

    def who(self, postmortem_id: UUID) -> dict[str, Any]:
        """Which postmortem, and who acts."""
        return {"postmortem_id": postmortem_id, "account": self.person, "actor": self.actor}


class PostmortemSection(_Act):
    """A section's text."""

    @extend_schema(operation_id="postmortems_write_section", summary="Write a section", request=SectionText, responses=PostmortemSectionRow)
    def post(self, request: Request, postmortem_id: UUID, section: str) -> Response:
        """409 `text_moved` with the present `text` and `number`, when somebody else has saved meanwhile. What is published takes a `reason`."""

        def act(values: dict[str, Any]) -> Any:
            return PostmortemSectionRow(write_section(key=section, **values, **self.who(postmortem_id))).data

        return self.acted(request, postmortem_id, SectionText, act)


class PostmortemFactor(_Act):
    """An answer of the checklist."""

    @extend_schema(
        operation_id="postmortems_answer_factor", summary="Answer a question of the checklist", request=FactorAnswerText, responses=PostmortemFactorRow
    )
    def post(self, request: Request, postmortem_id: UUID, question: str) -> Response:
        """409 `text_moved` with the present answer, when somebody else has answered meanwhile."""

        def act(values: dict[str, Any]) -> Any:
            return PostmortemFactorRow(answer_factor(key=question, **values, **self.who(postmortem_id))).data

        return self.acted(request, postmortem_id, FactorAnswerText, act)


class PostmortemCauses(_Act):
    """Its causes."""

    @extend_schema(operation_id="postmortems_set_causes", summary="Name its causes", request=CauseNames, responses=PostmortemCauseRow(many=True))
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """All of them: what stood there before is replaced."""

        def act(values: dict[str, Any]) -> Any:
            found = set_causes(slugs=values["causes"], own=values["own"], **self.who(postmortem_id))
            return PostmortemCauseRow(sorted(found, key=lambda cause: cause.name), many=True).data

        return self.acted(request, postmortem_id, CauseNames, act)


class PostmortemReview(_Act):
    """Sent to review."""

    @extend_schema(operation_id="postmortems_send_to_review", summary="Send it to review", request=ReviewerNames, responses=PostmortemRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """409 `not_complete` with `missing`, each lack a sentence."""

        def act(values: dict[str, Any]) -> Any:
            people = [named_person(name, field="reviewers") for name in values["reviewers"]]
            send_to_review(reviewers=people, **self.who(postmortem_id))

        return self.acted(request, postmortem_id, ReviewerNames, act)


class PostmortemApprove(_Act):
    """Approved."""

    permission_classes = [MayRespondInPerson]

    @extend_schema(operation_id="postmortems_approve", summary="Approve the text as it stands", request=ApprovalNote, responses=PostmortemReviewerRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """By another person than its owner and than who sent it; no token may. A change of the text ends it."""

        def act(values: dict[str, Any]) -> Any:
            return PostmortemReviewerRow(approve_postmortem(**values, **self.who(postmortem_id))).data

        return self.acted(request, postmortem_id, ApprovalNote, act)


class PostmortemAskChanges(_Act):
    """Changes asked for."""

    permission_classes = [MayRespondInPerson]

    @extend_schema(operation_id="postmortems_ask_changes", summary="Say what has to change", request=ChangesNote, responses=PostmortemReviewerRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """It is not published before that is settled; no token may."""

        def act(values: dict[str, Any]) -> Any:
            return PostmortemReviewerRow(ask_for_changes(**values, **self.who(postmortem_id))).data

        return self.acted(request, postmortem_id, ChangesNote, act)


class PostmortemTakeBack(_Act):
    """A draft again."""

    @extend_schema(operation_id="postmortems_take_back", summary="Make it a draft again", request=NoBody, responses=PostmortemRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """From review."""
        return self.acted(request, postmortem_id, NoBody, lambda values: _none(take_back(**self.who(postmortem_id))))


class PostmortemPublish(_Act):
    """Published."""

    @extend_schema(operation_id="postmortems_publish", summary="Publish it", request=NoBody, responses=PostmortemRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """409 `not_approved` or `changes_wanted` while it may not be. The team is told; facts and timeline stand from then on."""
        return self.acted(request, postmortem_id, NoBody, lambda values: _none(publish_postmortem(**self.who(postmortem_id))))


class PostmortemClose(_Act):
    """Closed."""

    @extend_schema(operation_id="postmortems_close", summary="Close it", request=NoBody, responses=PostmortemRow)
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """409 `actions_open` with `actions`, while some are neither done nor given up with a reason."""
        return self.acted(request, postmortem_id, NoBody, lambda values: _none(close_postmortem(**self.who(postmortem_id))))


class PostmortemActions(_Act):
    """Its actions."""

    @extend_schema(
        operation_id="postmortems_give_action",
        summary="Give somebody an action",
        request=ActionWanted,
        responses={201: OpenApiResponse(PostmortemActionRow, description="Its owner is told")},
    )
    def post(self, request: Request, postmortem_id: UUID) -> Response:
        """A gating one is waited for by the stability holds of the incident's versions. Actions are closed at `/api/v1/actions/`."""

        def act(key: str | None) -> Response:
            get_postmortem(postmortem_id)
            wanted = ActionWanted(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            values |= {"owner": named_person(values["owner"]), "kind": ActionKind(values["kind"])}
            link = give_action(**values, **self.who(postmortem_id))
            return created(dict(PostmortemActionRow(link).data), at=f"/api/v1/actions/{link.action_id}/")

        return once(request, act)


class PostmortemGating(_Act):
    """Whether the hold waits for an action."""

    @extend_schema(operation_id="postmortems_set_gating", summary="Whether the hold waits for an action", request=GatingChange, responses=PostmortemActionRow)
    def post(self, request: Request, postmortem_id: UUID, action_id: UUID) -> Response:
        """That it no longer waits is a lead's decision, in person and with a reason: it has the effect of lifting the hold."""

        def act(values: dict[str, Any]) -> Any:
            action = set_gating(action_id=action_id, **values, **self.who(postmortem_id))
            return PostmortemActionRow(PostmortemAction.objects.select_related("action__owner").get(action=action)).data

        return self.acted(request, postmortem_id, GatingChange, act)


class PostmortemSearch(ApiView):
    """Search."""

    permission_classes = [MayView]
    filters = SearchQuery

    @extend_schema(operation_id="postmortems_search", summary="Search incidents and postmortems", responses=SearchAnswer)
    def get(self, request: Request) -> Response:
        """What holds all the words: as they are, in another form, or as beginnings. The best first."""
        wanted = self.query()
        return Response(SearchAnswer(search(wanted["q"], page=wanted["page"])).data)


def _none(_: object) -> None:
    """Nothing to answer but the postmortem."""
