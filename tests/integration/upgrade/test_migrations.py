"""Each migration says whether the release before it still runs on the schema that it leaves."""

import ast
import re
from pathlib import Path

import pytest

from recognizer import migrations

# Up to here there was no earlier release.
LAST_OF_0_9_0 = 11
SENTENCE = re.compile(r"The previous release \(\d+\.\d+\.\d+\) (runs|does not run) on this schema\b")
FOLDER = Path(migrations.__file__).parent
FILES = sorted(path for path in FOLDER.glob("[0-9]*.py") if int(path.name[:4]) > LAST_OF_0_9_0)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_each_migration_states_whether_the_previous_release_runs_on_its_schema(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert SENTENCE.search(" ".join(docstring.split())), f"{path.name}: see 'Migrations' in CONTRIBUTING.md"


def test_migrations_are_numbered_without_gaps_and_form_one_chain():
    numbers = [int(path.name[:4]) for path in sorted(FOLDER.glob("[0-9]*.py"))]
    assert numbers == list(range(1, len(numbers) + 1))
