"""URLs of the JSON API, below /api/v1/."""

from django.urls import path

from .views import (
    create,
    deployments,
    docs,
    explanations,
    exports,
    labels,
    me,
    model_versions,
    predictions,
    review,
    submissions,
    tokens,
    training_runs,
)

urlpatterns = [
    path("submissions", create.SubmissionsView.as_view(), name="api-submissions"),
    path("submissions/<slug:public_id>", submissions.SubmissionView.as_view(), name="api-submission"),
    path("submissions/<slug:public_id>/image", submissions.SubmissionImageView.as_view(), name="api-submission-image"),
    path(
        "submissions/<slug:public_id>/pixels.png",
        submissions.SubmissionPixelsView.as_view(),
        name="api-submission-pixels",
    ),
    path(
        "submissions/<slug:public_id>/explanation",
        explanations.ExplanationView.as_view(),
        name="api-submission-explanation",
    ),
    path(
        "submissions/<slug:public_id>/explanation.png",
        explanations.ExplanationImageView.as_view(),
        name="api-submission-explanation-image",
    ),
    path(
        "submissions/<slug:public_id>/read-key",
        submissions.SubmissionReadKeyView.as_view(),
        name="api-submission-read-key",
    ),
    path("submissions/<slug:public_id>/crop", submissions.SubmissionCropView.as_view(), name="api-submission-crop"),
    path("submissions/<slug:public_id>/share", submissions.SubmissionShareView.as_view(), name="api-submission-share"),
    path("submissions/<slug:public_id>/labels", labels.SubmissionLabelsView.as_view(), name="api-submission-labels"),
    path("preview", create.PreviewView.as_view(), name="api-preview"),
    path("predictions", predictions.PredictionsView.as_view(), name="api-predictions"),
    path("predictions/<int:pk>", predictions.PredictionView.as_view(), name="api-prediction"),
    path("labels", labels.LabelsView.as_view(), name="api-labels"),
    path("labels/<int:pk>", labels.LabelView.as_view(), name="api-label"),
    path("review/next", review.NextView.as_view(), name="api-review-next"),
    path("review/decisions", review.DecisionsView.as_view(), name="api-review-decisions"),
    path("review/decisions/several", review.SeveralDecisionsView.as_view(), name="api-review-decisions-several"),
    path("review/grid", review.GridView.as_view(), name="api-review-grid"),
    path("review/skips", review.SkipsView.as_view(), name="api-review-skips"),
    path("review/undo", review.UndoView.as_view(), name="api-review-undo"),
    path("models", model_versions.ModelsView.as_view(), name="api-models"),
    path("models/<int:number>", model_versions.ModelView.as_view(), name="api-model"),
    path("stats", submissions.StatsView.as_view(), name="api-stats"),
    path("models/<int:number>/promote", deployments.PromoteView.as_view(), name="api-promote"),
    path("models/<int:number>/rollback", deployments.RollBackView.as_view(), name="api-roll-back"),
    path(
        "models/<int:number>/my_model.keras",
        deployments.ModelKerasView.as_view(),
        name="api-model-keras",
    ),
    path(
        "models/<int:number>/model.bundle",
        deployments.ModelBundleView.as_view(),
        name="api-model-bundle",
    ),
    path("deployments", deployments.DeploymentsView.as_view(), name="api-deployments"),
    path("training-runs", training_runs.TrainingRunsView.as_view(), name="api-training-runs"),
    path("training-runs/<int:pk>", training_runs.TrainingRunView.as_view(), name="api-training-run"),
    path(
        "training-runs/<int:pk>/cancel", training_runs.CancelTrainingRunView.as_view(), name="api-cancel-training-run"
    ),
    path("exports", exports.ExportsView.as_view(), name="api-exports"),
    path("exports/settled.npz", exports.ExportArraysView.as_view(), name="api-export-npz"),
    path("exports/settled.zip", exports.ExportImagesView.as_view(), name="api-export-zip"),
    path("me", me.MeView.as_view(), name="api-me"),
    path("tokens", tokens.TokensView.as_view(), name="api-tokens"),
    path("tokens/<int:pk>", tokens.TokenView.as_view(), name="api-token"),
    path("schema/", docs.SchemaView.as_view(), name="api-schema"),
    path("docs/", docs.DocsView.as_view(), name="api-docs"),
]
