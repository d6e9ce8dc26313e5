"""Addresses of the pages."""

from django.contrib.auth import views as auth_views
from django.urls import path

from .views import accounts, bulk, draw, figures, grid, history, matrix, models, people, review, submission, upload

urlpatterns = [
    path("", draw.draw, name="draw"),
    path("upload/", upload.upload, name="upload"),
    path("upload/results/", upload.results, name="upload-results"),
    path("history/", history.history, name="history"),
    path("history/bulk/", bulk.bulk, name="history-bulk"),
    path("history/matrix/", matrix.matrix, name="matrix"),
    path("s/<str:public_id>/", submission.show, name="submission"),
    path("s/<str:public_id>/label/", submission.label, name="submission-label"),
    path("s/<str:public_id>/labels/<int:label_id>/retract/", submission.retract, name="submission-retract"),
    path("s/<str:public_id>/delete/", submission.delete, name="submission-delete"),
    path("s/<str:public_id>/share/", submission.share, name="submission-share"),
    path("review/", review.review, name="review"),
    path("review/decide/", review.decide, name="review-decide"),
    path("review/grid/", grid.grid, name="review-grid"),
    path("review/figures/", figures.show, name="review-figures"),
    path("models/", models.overview, name="models"),
    path("models/<int:number>/", models.version, name="model"),
    path("models/<int:number>/promote/", models.promote, name="model-promote"),
    path("models/<int:number>/rollback/", models.roll_back, name="model-roll-back"),
    path("models/runs/", models.start, name="training-start"),
    path("models/runs/<int:pk>/", models.run, name="training-run"),
    path("models/runs/<int:pk>/progress/", models.progress, name="training-progress"),
    path("models/runs/<int:pk>/cancel/", models.cancel, name="training-cancel"),
    path("account/login/", accounts.Login.as_view(), name="login"),
    path("account/sign-up/", accounts.sign_up, name="sign-up"),
    path("account/people/", people.show, name="people"),
    path("account/people/add/", people.add, name="people-add"),
    path("account/people/<int:pk>/link/", people.link, name="people-link"),
    path("account/people/<int:pk>/role/", people.role, name="people-role"),
    path("account/forgotten/", accounts.Forgotten.as_view(), name="password_reset"),
    path("account/forgotten/sent/", accounts.ForgottenSent.as_view(), name="password_reset_done"),
    path("account/forgotten/<str:uidb64>/<str:token>/", accounts.NewPassword.as_view(), name="password_reset_confirm"),
    path("account/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("account/password/", accounts.Password.as_view(), name="password_change"),
    path("account/sign-in/<str:uid>/<str:token>/", accounts.sign_in, name="sign-in"),
]
