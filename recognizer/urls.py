"""URLs of the pages."""

from django.urls import path

from .views import status
from .views.accounts import my_data, sign_in, tokens, users
from .views.registry import model_registry
from .views.review import confusion_matrix, grid, queue, statistics
from .views.submissions import bulk_actions, draw, history, submission, upload

urlpatterns = [
    path("", draw.draw, name="draw"),
    path("upload/", upload.upload, name="upload"),
    path("upload/results/", upload.results, name="upload-results"),
    path("history/", history.history, name="history"),
    path("history/bulk/", bulk_actions.bulk, name="history-bulk"),
    path("history/matrix/", confusion_matrix.matrix, name="matrix"),
    path("s/<str:public_id>/", submission.show, name="submission"),
    path("s/<str:public_id>/label/", submission.add_label, name="submission-label"),
    path("s/<str:public_id>/labels/<int:label_id>/retract/", submission.retract, name="submission-retract"),
    path("s/<str:public_id>/crop/", submission.set_crop, name="submission-crop"),
    path("s/<str:public_id>/delete/", submission.delete, name="submission-delete"),
    path("s/<str:public_id>/share/", submission.share, name="submission-share"),
    path("review/", queue.review, name="review"),
    path("review/decide/", queue.decide, name="review-decide"),
    path("review/grid/", grid.grid, name="review-grid"),
    path("review/figures/", statistics.show, name="review-figures"),
    path("models/", model_registry.overview, name="models"),
    path("models/<int:number>/", model_registry.version_detail, name="model"),
    path("models/<int:number>/<slug:name>.svg", model_registry.chart, name="model-chart"),
    path("models/<int:number>/promote/", model_registry.promote, name="model-promote"),
    path("models/<int:number>/rollback/", model_registry.roll_back, name="model-roll-back"),
    path("models/runs/", model_registry.start, name="training-start"),
    path("models/runs/<int:pk>/", model_registry.run_detail, name="training-run"),
    path("models/runs/<int:pk>/progress/", model_registry.progress, name="training-progress"),
    path("models/runs/<int:pk>/cancel/", model_registry.cancel, name="training-cancel"),
    path("status/", status.show, name="status"),
    path("account/login/", sign_in.Login.as_view(), name="login"),
    path("account/sign-up/", sign_in.sign_up, name="sign-up"),
    path("account/people/", users.show, name="people"),
    path("account/people/add/", users.add, name="people-add"),
    path("account/people/<int:pk>/link/", users.link, name="people-link"),
    path("account/people/<int:pk>/role/", users.role, name="people-role"),
    path("account/forgotten/", sign_in.PasswordReset.as_view(), name="password_reset"),
    path("account/forgotten/sent/", sign_in.PasswordResetSent.as_view(), name="password_reset_done"),
    path(
        "account/forgotten/<str:uidb64>/<str:token>/",
        sign_in.PasswordResetConfirm.as_view(),
        name="password_reset_confirm",
    ),
    path("account/logout/", sign_in.Logout.as_view(), name="logout"),
    path("account/tokens/", tokens.show, name="tokens"),
    path("account/tokens/<int:pk>/delete/", tokens.delete, name="token-delete"),
    path("account/data/", my_data.show, name="my-data"),
    path("account/data/download/", my_data.download, name="my-data-download"),
    path("account/data/delete/", my_data.delete, name="my-data-delete"),
    path("account/password/", sign_in.PasswordChange.as_view(), name="password_change"),
    path("account/sign-in/<str:uid>/<str:token>/", sign_in.sign_in, name="sign-in"),
]
