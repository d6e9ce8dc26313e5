"""Count statements of the product: `python -m bench.statements`.

Docstrings, migrations and the shared test helpers (digitsite/testing) are not counted.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("recognizer", "digitsite", "ml")
SKIPPED = ("migrations", "testing")


def count_statements(source: str) -> int:
    """Return the number of statements in Python source, without docstrings."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    return sum(1 for node in nodes if not _is_docstring(node))


def _is_docstring(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(ast.Constant(str())):
            return True
        case _:
            return False


def main() -> None:
    """Print a line for each package and their sum."""
    for name in PACKAGES:
        files = [path for path in (ROOT / name).rglob("*.py") if not set(path.parts) & set(SKIPPED)]
        print(f"{name:<11} {sum(count_statements(path.read_text()) for path in files):6}")


if __name__ == "__main__":
    main()
