"""Checks of one text: words, docstring summaries, identifiers and commit subjects."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from digitsite.testing.prose import rules
from digitsite.testing.prose.sources import Block, blocks_of


@dataclass(frozen=True, order=True)
class Finding:
    """A place that breaks a rule. `file` is a path in the repository, or `commit` and an abbreviated hash."""

    file: str
    line: int
    word: str
    suggestion: str

    def __str__(self) -> str:
        """Return the finding as the line that is printed."""
        return f"{self.file}:{self.line}: {self.word}: {self.suggestion}"


def is_pending(file: str) -> bool:
    """Return whether the file is rewritten by a later issue."""
    return _matches(file, [pattern for pattern, _ in rules.PENDING])


def check_file(file: str, source: str) -> list[Finding]:
    """Return the findings of a file, sorted by line.

    Args:
        file: Path inside the repository.
        source: The file's text.
    """
    if is_pending(file):
        return []
    findings = list[Finding]()
    for block in blocks_of(file, source):
        findings += _check_words(file, block)
        if block.is_docstring:
            findings += _check_summary(file, block)
    if file.endswith(".py") and file.startswith(rules.IDENTIFIER_FOLDERS) and "/migrations/" not in file:
        findings += _check_identifiers(file, source)
    return sorted(set(findings))


def check_subject(commit: str, subject: str) -> list[Finding]:
    """Return the findings of a commit's subject.

    Args:
        commit: Abbreviated hash.
        subject: First line of the message.
    """
    file = f"commit {commit}"
    findings = list(_check_words(file, Block(subject, 1, "commits")))
    first = subject.partition(" ")[0]
    if len(subject) > rules.MAX_SUBJECT_LENGTH:
        findings.append(Finding(file, 1, f"{len(subject)} characters", f"at most {rules.MAX_SUBJECT_LENGTH}"))
    if not first[:1].isupper():
        findings.append(Finding(file, 1, first, "begin with a capital letter"))
    if subject.endswith("."):
        findings.append(Finding(file, 1, ".", "no period at the end"))
    if first not in rules.IMPERATIVES and first.endswith(("ed", "ing", "s")):
        findings.append(Finding(file, 1, first, "begin with a verb in the imperative"))
    return findings


def _check_words(file: str, block: Block) -> Iterator[Finding]:
    for rule in rules.WORD_RULES:
        # The scope "code" includes Python.
        scopes = {"python", "code"} if block.scope == "python" else {block.scope}
        if not rule.scopes & scopes or _matches(file, rule.exempt) or (rule.only and not _matches(file, rule.only)):
            continue
        for match in rule.pattern.finditer(block.text):
            line = block.line + block.text.count("\n", 0, match.start())
            yield Finding(file, line, " ".join(match[0].split()), rule.suggestion)


def _check_summary(file: str, block: Block) -> Iterator[Finding]:
    summary = block.text.strip().split("\n\n", 1)[0].strip()
    if opener := rules.SUMMARY_OPENERS.match(summary):
        yield Finding(file, block.line, opener[0], rules.SUMMARY_SUGGESTION)
    if summary.split("\n", 1)[0].rstrip().endswith("?"):
        yield Finding(file, block.line, "?", rules.QUESTION_SUGGESTION)


def _check_identifiers(file: str, source: str) -> Iterator[Finding]:
    for name, line in _defined_names(ast.parse(source)):
        if any(
            fnmatchcase(file, pattern) and fnmatchcase(name, allowed) for pattern, allowed in rules.ALLOWED_IDENTIFIERS
        ):
            continue
        if name.strip("_").lower() in rules.IDENTIFIERS:
            yield Finding(file, line, name, rules.IDENTIFIER_SUGGESTION)
        elif rules.LIMIT_PREFIXES.match(name):
            yield Finding(file, line, name, rules.LIMIT_SUGGESTION)


def _defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the names that a module defines (variables, parameters, attributes, functions, classes) and their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno


def _matches(file: str, patterns: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)
