"""`manage.py prepare`: bring the database and the static files up to date.

`make run` calls it at every start. If nothing has changed, it only checks.
"""

from django.core.management import BaseCommand, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from recognizer.management import static_files


class Command(BaseCommand):
    """Bring the database and the static files up to date."""

    help = "Bring the database and the static files up to date; fast if nothing has changed."
    requires_system_checks = []

    def handle(self, **options: object) -> None:
        """Apply migrations and collect static files if necessary."""
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            self.stdout.write(f"bringing the database up to date: {len(plan)} migrations")
            call_command("migrate", verbosity=0, interactive=False)
        if static_files.has_changed():
            self.stdout.write("collecting the static files")
            static_files.collect()
