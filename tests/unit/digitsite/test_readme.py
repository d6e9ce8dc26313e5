"""The README's table of settings says what the code does."""

import ast
import re
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR

# Asked for in other ways than by digitsite/env.py, or by others than this site.
ALSO = {"MNIST_PATH", "MNIST_CACHE", "DATA_DIR", "SECRET_KEY"}
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def settings_in_the_code() -> dict[str, str | None]:
    """Each setting's name, and its default as the table writes it; None where it is no plain value."""
    found: dict[str, str | None] = {}
    for path in Path(BASE_DIR, "digitsite").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            match call:
                case ast.Call(ast.Attribute(ast.Name("env")), [ast.Constant(str(name)), *rest]) if name.isupper():
                    found[name] = _default(rest[0]) if rest else found.get(name)
    return found


def _default(node: ast.expr) -> str | None:
    """Numbers, words and products of numbers; anything else depends on the machine."""
    expression = ast.unparse(node)
    if not re.fullmatch(r"[\d_.* ]+|'\w+'|True|False", expression):
        return None
    value = eval(expression)  # only what the pattern lets through
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
