"""Blocks of prose of a source file: comments and docstrings with the line each begins at, and nothing of the code."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

_HASH_COMMENTS = frozenset({".toml", ".yaml", ".yml", ".sh", ".txt", ".cfg", ".ini", ".conf", ".service"})
_HASH_FILES = frozenset({"Makefile", "Dockerfile", "run", "Caddyfile", ".editorconfig"})

# Strings come first, so that a // or a quote inside of one starts no comment.
_C_COMMENT = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|(/\*.*?\*/|//[^\n]*)""", re.DOTALL
)
_CSS_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(/\*.*?\*/)""", re.DOTALL)
_TEMPLATE_COMMENT = re.compile(r"(\Z)|(\{#.*?#\}|\{%\s*comment\b.*?%\}.*?\{%\s*endcomment\s*%\}|<!--.*?-->)", re.DOTALL)
_LUA_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(--[^\n]*)""")
_HASH_COMMENT = re.compile(r"(\Z)|((?:^|(?<=\s))#[^\n]*)", re.MULTILINE)

_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.DOTALL | re.MULTILINE)
# Name of an argument or attribute in a Google section.
_ENTRY = re.compile(r"^[ \t]+\*{0,2}\w+(?: \([^)\n]*\))?:(?=\s)", re.MULTILINE)
_CODE = re.compile(r"(`+)[^`].*?\1|https?://\S+|<[^<>\n]*>", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A piece of prose.

    Attributes:
        text: The prose; code in it is blanked out, line breaks are kept.
        line: Number of the line on which it begins, from 1.
        scope: A scope of `rules.WordRule`.
        is_docstring: Whether it is a docstring, whose first line is a summary.
    """

    text: str
    line: int
    scope: str
    is_docstring: bool = False


def without_code(text: str) -> str:
    """Return the text with code blocks, words in backticks, addresses, tags and argument names replaced by spaces."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return _CODE.sub(blank, _ENTRY.sub(blank, _FENCE.sub(blank, text)))


def blocks_of(name: str, source: str) -> Iterator[Block]:
    """Yield the prose of a file.

    Args:
        name: Path of the file inside the repository; its suffix decides how the source is read.
        source: The file's text.

    Raises:
        SyntaxError: If a Python file cannot be parsed.
    """
    path = PurePosixPath(name)
    if path.suffix == ".py":
        yield from _python_blocks(source)
    elif path.suffix == ".md":
        yield Block(without_code(source), 1, "docs")
    elif path.suffix == ".js":
        yield from _comments(_C_COMMENT, source, "code")
    elif path.suffix == ".css":
        yield from _comments(_CSS_COMMENT, source, "code")
    elif path.suffix == ".html":
        yield from _comments(_TEMPLATE_COMMENT, source, "pages")
    elif path.suffix == ".lua":
        yield from _comments(_LUA_COMMENT, source, "code")
    elif path.suffix in _HASH_COMMENTS or path.name in _HASH_FILES:
        yield from _comments(_HASH_COMMENT, source, "code")


def _python_blocks(source: str) -> Iterator[Block]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, Documented) or not node.body:
            continue
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            yield Block(without_code(first.value.value), first.lineno, "python", is_docstring=True)

    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [(token.start[0], token.string.lstrip("#! ")) for token in tokens if token.type == tokenize.COMMENT]
    yield from _joined(comments, "python")


def _comments(pattern: re.Pattern[str], source: str, scope: str) -> Iterator[Block]:
    matches = (match for match in pattern.finditer(source) if match[2])
    comments = [(source.count("\n", 0, match.start()) + 1, match[2].strip("/*#-! ")) for match in matches]
    yield from _joined(comments, scope)


def _joined(comments: list[tuple[int, str]], scope: str) -> Iterator[Block]:
    """Join comments on consecutive lines, so that a phrase is seen across a line break."""
    start, lines = 0, list[str]()
    for line, text in comments:
        if lines and line != start + len(lines):
            yield Block(without_code("\n".join(lines)), start, scope)
            lines = []
        if not lines:
            start = line
        lines.extend(text.split("\n"))
    if lines:
        yield Block(without_code("\n".join(lines)), start, scope)
