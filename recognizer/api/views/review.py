"""The review queue for programs and for the review page's scripts. Only reviewers have one."""

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.http.problems import Conflict
from recognizer.api.openapi.params import problems
from recognizer.api.serializers.fast import ShowingSerializer
from recognizer.api.serializers.inputs import IdField, ShortListField, StrictSerializer, TruthField
from recognizer.api.serializers.outputs import AnswerSerializer, LabelSerializer, submission_path
from recognizer.api.views.base import ApiView
from recognizer.models import LabelReason, Scope, Submission, TruthValue
from recognizer.services.review import decisions as decisions_service
from recognizer.services.review import queue, statistics
from recognizer.services.review.labels import LabelError
from recognizer.services.review.queue import ReviewItem
from recognizer.services.submissions.service import LARGE_COLUMNS


class ReviewItemSerializer(ShowingSerializer):
    """A submission as the queue shows it; of a blind one the answer and what others said stay untold."""

    id = serializers.CharField(source="submission.public_id")
    page = serializers.CharField(source="submission.get_absolute_url", help_text="Its page for people.")
    image = serializers.SerializerMethodField(help_text="The kept picture.")
    pixels = serializers.SerializerMethodField(help_text="The 28 x 28 that the model saw, as PNG.")
    width = serializers.IntegerField(source="submission.picture_width")
    height = serializers.IntegerField(source="submission.picture_height")
    crop = serializers.ListField(child=serializers.IntegerField(), source="submission.crop", allow_null=True)
    reason = serializers.ChoiceField(choices=LabelReason.choices, help_text="Why it is shown.")
    why = serializers.CharField(help_text="The same in words.")
    blind = serializers.BooleanField()
    demo = serializers.BooleanField(source="submission.demo", help_text="Drawn by the demo and by no person.")
    answer = serializers.SerializerMethodField()
    suggestion = serializers.SerializerMethodField(help_text="What the visitor said that it is.")

    def get_image(self, item: ReviewItem) -> str:
        return submission_path("api-submission-image", item.submission)

    def get_pixels(self, item: ReviewItem) -> str:
        return submission_path("api-submission-pixels", item.submission)

    @extend_schema_field(AnswerSerializer(allow_null=True))
    def get_answer(self, item: ReviewItem) -> dict | None:
        return None if item.answer is None else AnswerSerializer(item.answer).data

    @extend_schema_field(serializers.ChoiceField(choices=TruthValue.choices, allow_null=True))
    def get_suggestion(self, item: ReviewItem) -> str | None:
        return item.suggestion or None


class ProgressSerializer(serializers.Serializer):
    """How far the caller and the queue are."""

    today = serializers.IntegerField(help_text="What the caller decided today (UTC).")
    per_minute = serializers.FloatField(allow_null=True, help_text="The caller's pace of the last minutes.")
    waiting = serializers.IntegerField(help_text="Submissions without a settled truth.")
    until_training = serializers.IntegerField(
        allow_null=True, help_text="Settled labels until the next training; null where labels start none."
    )


class NextSerializer(StrictSerializer):
    rule = serializers.ChoiceField(choices=[(one.value, text) for one, text in queue.RULES.items()], default="doubt")
    count = serializers.IntegerField(
        min_value=1,
        max_value=queue.MAX_BATCH_SIZE,
        default=1,
        help_text="Those that the caller holds already included.",
    )


class QueueSerializer(serializers.Serializer):
    items = ReviewItemSerializer(many=True)
    progress = ProgressSerializer()


class SubmissionNameSerializer(StrictSerializer):
    submission = IdField(help_text="Its id.")


class DecisionSerializer(SubmissionNameSerializer):
    value = TruthField()


class GridSerializer(StrictSerializer):
    digit = serializers.IntegerField(min_value=0, max_value=9, help_text="What all of them were read as.")
    count = serializers.IntegerField(
        min_value=1, max_value=queue.MAX_BATCH_SIZE, default=queue.MAX_BATCH_SIZE, help_text="At most so many."
    )


class GridItemsSerializer(serializers.Serializer):
    items = ReviewItemSerializer(many=True)
    sizes = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many wait for a grid, by the digit that was read."
    )


class SeveralDecisionsSerializer(StrictSerializer):
    decisions = ShortListField(child=DecisionSerializer(), min_length=1, max_length=queue.MAX_BATCH_SIZE)


class SeveralDecidedSerializer(serializers.Serializer):
    labels = LabelSerializer(many=True)
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Ids of what is not there, or not any more."
    )


class UndoneSerializer(serializers.Serializer):
    item = ReviewItemSerializer(allow_null=True, help_text="Null when another reviewer has it now.")


class _ReviewView(ApiView):
    """A POST by a reviewer. Whatever was sent may be sent again: nothing is done twice."""

    scopes = {"POST": (Scope.REVIEW,)}

    def named(self, public_id: str) -> Submission:
        queue.check_may_review(self.actor)
        submission = Submission.objects.defer(*LARGE_COLUMNS).filter(public_id=public_id).first()
        if submission is None:
            raise Http404
        return submission

    def named_submission(self) -> Submission:
        return self.named(self.validated_body(SubmissionNameSerializer)["submission"])


class NextView(_ReviewView):
    @extend_schema(
        operation_id="review_next",
        tags=["review"],
        request=NextSerializer,
        responses={200: QueueSerializer, **problems(400, 403, 415)},
    )
    def post(self, request: Request) -> Response:
        """The next items, leased to the caller for ten minutes: nobody else is shown them meanwhile."""
        sent = self.validated_body(NextSerializer)
        items = queue.lease_next(actor=self.actor, rule=LabelReason(sent["rule"]), count=sent["count"])
        body = {"items": items, "progress": statistics.progress(self.actor)}
        return Response(QueueSerializer(body, context={"request": request}).data)


class DecisionsView(_ReviewView):
    @extend_schema(
        operation_id="review_decide",
        tags=["review"],
        request=DecisionSerializer,
        responses={201: LabelSerializer, **problems(400, 403, 404, 409, 415)},
    )
    def post(self, request: Request) -> Response:
        """Say what an item shows, and be done with it. Sent again with the same value, it changes nothing."""
        sent = self.validated_body(DecisionSerializer)
        submission = self.named(sent["submission"])
        try:
            said = decisions_service.decide(
                actor=self.actor, submission=submission, value=sent["value"], default_reason=LabelReason.API
            )
        except LabelError as error:
            raise Conflict(str(error)) from error
        return Response(LabelSerializer(said, context={"request": request}).data, status=201)


class SeveralDecisionsView(_ReviewView):
    max_body_bytes = 64 * 1024

    @extend_schema(
        operation_id="review_decide_several",
        tags=["review"],
        request=SeveralDecisionsSerializer,
        responses={200: SeveralDecidedSerializer, **problems(400, 403, 415)},
    )
    def post(self, request: Request) -> Response:
        """Say what many submissions show at once: all of it is noted or, if something is wrong, none.

        Sent again, it changes nothing. Of two decisions about one submission the later one counts.
        """
        decisions = self.validated_body(SeveralDecisionsSerializer)["decisions"]
        wanted = {one["submission"]: one["value"] for one in decisions}
        queue.check_may_review(self.actor)
        rows = Submission.objects.defer(*LARGE_COLUMNS).filter(public_id__in=wanted)
        values = {row: wanted[row.public_id] for row in rows}
        said = decisions_service.decide_many(actor=self.actor, values=values, default_reason=LabelReason.API)
        there = {one.submission_id for one in said}
        missing = set(wanted) - {row.public_id for row in values if row.pk in there}
        body = {"labels": said, "missing": sorted(missing)}
        return Response(SeveralDecidedSerializer(body, context={"request": request}).data)


class GridView(_ReviewView):
    @extend_schema(
        operation_id="review_grid",
        tags=["review"],
        request=GridSerializer,
        responses={200: GridItemsSerializer, **problems(400, 403, 415)},
    )
    def post(self, request: Request) -> Response:
        """Items that were all read as one digit, leased to the caller, for confirming or correcting many at once."""
        items = queue.lease_grid(actor=self.actor, **self.validated_body(GridSerializer))
        body = {"items": items, "sizes": queue.grid_sizes()}
        return Response(GridItemsSerializer(body, context={"request": request}).data)


class SkipsView(_ReviewView):
    @extend_schema(
        operation_id="review_skip",
        tags=["review"],
        request=SubmissionNameSerializer,
        responses={204: None, **problems(400, 403, 404, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Pass over an item: it goes to others, and comes back to the caller only when nothing else is left."""
        decisions_service.skip(actor=self.actor, submission=self.named_submission())
        return Response(status=204)


class UndoView(_ReviewView):
    @extend_schema(
        operation_id="review_undo",
        tags=["review"],
        request=SubmissionNameSerializer,
        responses={200: UndoneSerializer, **problems(400, 403, 404, 415)},
    )
    def post(self, request: Request) -> Response:
        """Take back what the caller decided about an item, or that they passed over it; it is leased to them again."""
        item = decisions_service.undo(actor=self.actor, submission=self.named_submission())
        return Response(UndoneSerializer({"item": item}, context={"request": request}).data)
