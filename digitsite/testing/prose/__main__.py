"""Command line of the prose check. Prints `file:line: word: suggestion`, then a count for each folder."""

import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

from digitsite.testing.prose import rules
from digitsite.testing.prose.checks import Finding, check_file, check_subject

ROOT = Path(__file__).resolve().parents[3]
# The rules name the words they forbid.
SKIPPED = ("digitsite/testing/prose/rules.py", "tests/unit/digitsite/test_prose.py", "package-lock.json")


def main(arguments: list[str]) -> int:
    """Check files and commit subjects.

    Args:
        arguments: Files to check; without any, every file of the repository and the commits of its history.

    Returns:
        The exit status: 1 if a rule is broken, else 0.
    """
    files = [str(Path(name).resolve().relative_to(ROOT)) for name in arguments] or tracked_files()
    findings = list[Finding]()
    for file in files:
        if file in SKIPPED:
            continue
        try:
            source = (ROOT / file).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a binary file, or deleted and not yet committed
            continue
        findings += check_file(file, source)
    if not arguments:
        for commit, subject in recent_commits():
            findings += check_subject(commit, subject)
    for finding in findings:
        print(finding)
    counts = Counter(_folder(finding.file) for finding in findings)
    print(
        f"prose: {len(findings)} findings", *(f"{folder} {count}" for folder, count in sorted(counts.items())), sep="; "
    )
    return 1 if findings else 0


def tracked_files() -> list[str]:
    """Return the paths of the repository's files: those known to Git, or without Git those of the source folders."""
    if output := _git("ls-files", "--cached", "--others", "--exclude-standard"):
        return output.splitlines()
    folders = (*rules.IDENTIFIER_FOLDERS, "docs", "templates", "deploy")
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts)
    return sorted(str(path.relative_to(ROOT)) for path in paths if path.is_file())


def recent_commits() -> list[tuple[str, str]]:
    """Return abbreviated hash and subject of each commit the rules apply to; none where the history is missing."""
    commits = list[tuple[str, str]]()
    for line in _git("log", "--no-merges", "--format=%h%x09%s").splitlines():
        commit, subject = line.split("\t", 1)
        commits.append((commit, subject))
        if subject == rules.FIRST_COMMIT_SUBJECT:
            return commits
    return []


def _git(*arguments: str) -> str:
    """Return the output of a Git command, or an empty text where Git or the repository is missing."""
    try:
        process = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return process.stdout if process.returncode == 0 else ""


def _folder(file: str) -> str:
    """Return the package under which a finding is counted."""
    parts = PurePosixPath(file).parts[:-1]
    if not parts:
        return "commits" if file.startswith("commit ") else "top level"
    return "/".join(parts[:3] if parts[:2] == ("recognizer", "services") else parts[:2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
