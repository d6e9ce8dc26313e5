"""The README's table of settings matches the code."""

import ast
import re
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR

# Settings that are not read with digitsite/env.py.
ALSO = {"MNIST_PATH", "MNIST_CACHE", "DATA_DIR", "SECRET_KEY"}
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def settings_in_the_code() -> dict[str, str | None]:
    """Return the name of each setting and its default as in the table; None if it is not a plain value."""
    settings: dict[str, str | None] = {}
    for path in Path(BASE_DIR, "digitsite").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            match call:
                case ast.Call(ast.Attribute(ast.Name("env")), [ast.Constant(str(name)), *rest]) if name.isupper():
                    settings[name] = _default(rest[0]) if rest else settings.get(name)
    return settings


def _default(node: ast.expr) -> str | None:
    """Return the default if it is a number, word or product of numbers; others depend on the machine."""
    expression = ast.unparse(node)
    if not re.fullmatch(r"[\d_.* ]+|'\w+'|True|False", expression):
        return None
    value = eval(expression)  # the pattern allows only literals
    return str(int(value)) if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    return dict(ROW.findall(Path(BASE_DIR, "README.md").read_text()))


def test_readme_table_lists_exactly_the_settings_of_the_code(table: dict[str, str]) -> None:
    assert set(table) == set(settings_in_the_code()) | ALSO


def test_readme_table_has_the_defaults_of_the_code(table: dict[str, str]) -> None:
    in_the_code = {name: default for name, default in settings_in_the_code().items() if default is not None}
    assert len(in_the_code) > 20
    assert {name: table[name].strip("`") for name in in_the_code} == in_the_code
