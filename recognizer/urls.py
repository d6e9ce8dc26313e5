"""Addresses of the pages."""

from django.contrib.auth import views as auth_views
from django.urls import path

from .views import draw

urlpatterns = [
    path("", draw.draw, name="draw"),
    path("upload/", draw.draw, name="upload"),
    path("history/", draw.draw, name="history"),
    path("account/login/", auth_views.LoginView.as_view(), name="login"),
    path("account/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("account/password/", auth_views.PasswordChangeView.as_view(), name="password_change"),
]
