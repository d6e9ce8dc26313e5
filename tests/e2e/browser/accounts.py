"""Accounts of the browser tests, and signing in and out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection

from playwright.sync_api import Page, expect

from digitsite.testing.site import BASE_DIR, Site

PASSWORD = "correct horse battery staple"
# One password hash for all accounts, because hashing is slow. Prints the name and session of each account.
CREATE = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
password = make_password({password!r})
print("cookie", settings.SESSION_COOKIE_NAME)
for name, role in {accounts!r}:
    user = User.objects.create(username=name, password=password)
    user.groups.set(Group.objects.filter(name=role))
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    print("account", name, session.session_key)
"""
SET_ROLE = """
from django.contrib.auth.models import Group, User
User.objects.get(username={name!r}).groups.set(Group.objects.filter(name={role!r}))
"""


def manage(site: Site, *words: str) -> str:
    """Run `manage.py` on the site and return its output."""
    command = [sys.executable, "manage.py", *words]
    done = subprocess.run(command, cwd=BASE_DIR, env=site.environment, capture_output=True, text=True, check=True)
    return done.stdout


def create_accounts(site: Site, accounts: Collection[tuple[str, str]]) -> dict[str, dict]:
    """Create accounts with a session each.

    Args:
        accounts: Names and roles. Roles other than reviewer and operator give no permissions.

    Returns:
        The session cookie of each account, by name.
    """
    output = manage(site, "shell", "-c", CREATE.format(accounts=list(accounts), password=PASSWORD))
    lines = [line.split() for line in output.splitlines() if line]
    [cookie] = [words[1] for words in lines if words[0] == "cookie"]
    sessions = {words[1]: words[2] for words in lines if words[0] == "account"}
    address = f"http://127.0.0.1:{site.port}"
    return {name: {"name": cookie, "value": key, "url": address} for name, key in sessions.items()}


def set_role(site: Site, name: str, role: str) -> None:
    manage(site, "shell", "-c", SET_ROLE.format(name=name, role=role))


def sign_in(page: Page, name: str) -> None:
    page.goto("/account/login/")
    fill_in(page, name)
    expect(page.get_by_text(f"Signed in as {name}")).to_be_visible()


def fill_in(page: Page, name: str) -> None:
    """Fill in and submit the sign-in form."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def sign_out_elsewhere(page: Page) -> Page:
    """Sign out on another tab and return the tab."""
    tab = page.context.new_page()
    tab.goto("/account/login/?switch=1")
    sign_out(tab)
    return tab
