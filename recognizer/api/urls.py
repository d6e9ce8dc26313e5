"""Addresses of the JSON API, below /api/v1/."""

from django.urls import path

from .views import docs, labels, models, predictions, stats, submissions

urlpatterns = [
    path("submissions", submissions.SubmissionsView.as_view(), name="api-submissions"),
    path("submissions/<slug:public_id>", submissions.SubmissionView.as_view(), name="api-submission"),
    path("submissions/<slug:public_id>/image", submissions.SubmissionImageView.as_view(), name="api-submission-image"),
    path(
        "submissions/<slug:public_id>/pixels.png",
        submissions.SubmissionPixelsView.as_view(),
        name="api-submission-pixels",
    ),
    path("submissions/<slug:public_id>/labels", labels.SubmissionLabelsView.as_view(), name="api-submission-labels"),
    path("preview", submissions.PreviewView.as_view(), name="api-preview"),
    path("predictions", predictions.PredictionsView.as_view(), name="api-predictions"),
    path("predictions/<int:pk>", predictions.PredictionView.as_view(), name="api-prediction"),
    path("labels", labels.LabelsView.as_view(), name="api-labels"),
    path("labels/<int:pk>", labels.LabelView.as_view(), name="api-label"),
    path("models", models.ModelsView.as_view(), name="api-models"),
    path("models/<int:number>", models.ModelView.as_view(), name="api-model"),
    path("stats", stats.StatsView.as_view(), name="api-stats"),
    path("schema/", docs.SchemaView.as_view(), name="api-schema"),
    path("docs/", docs.DocsView.as_view(), name="api-docs"),
]
