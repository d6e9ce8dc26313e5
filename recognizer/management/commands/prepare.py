"""`manage.py prepare`: bring database and static files up to date, and see that there is an operator.

`make run` calls it at every start; when nothing changed it only looks. Safe to run beside a running site.
"""

from argparse import ArgumentParser

from django.core.management import BaseCommand, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from recognizer.management import static_files
from recognizer.services import accounts

# The supervisor shows this path with the site's address once the site answers.
SIGN_IN = "sign-in path: "


class Command(BaseCommand):
    help = "Bring the database and the static files up to date; print a sign-in path while no operator has signed in."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--operator", default="operator", help="name of the first operator's account")

    def handle(self, *, operator: str, **options: object) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            self.stdout.write(f"bringing the database up to date: {len(plan)} migrations")
            call_command("migrate", verbosity=0, interactive=False)
        if static_files.changed():
            self.stdout.write("collecting the static files")
            static_files.collect()
        if not accounts.an_operator_has_signed_in():
            user = accounts.make_operator(operator)
            self.stdout.write(SIGN_IN + accounts.sign_in_link(user))
