"""`manage.py prepare`: bring the database and the static files up to date.

`make run` calls it at every start; when nothing changed it only looks.
"""

from django.core.management import BaseCommand, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from recognizer.management import static_files


class Command(BaseCommand):
    help = "Bring the database and the static files up to date, quickly where nothing changed."
    requires_system_checks = []

    def handle(self, **options: object) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            self.stdout.write(f"bringing the database up to date: {len(plan)} migrations")
            call_command("migrate", verbosity=0, interactive=False)
        if static_files.changed():
            self.stdout.write("collecting the static files")
            static_files.collect()
