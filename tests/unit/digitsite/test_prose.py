"""Tests of the prose check: each rule is seen failing, and what it must leave alone passes."""

import subprocess
import sys

import pytest

from digitsite.testing.prose import rules
from digitsite.testing.prose.checks import check_file, check_subject


def words(file: str, source: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.word) for finding in check_file(file, source)]


@pytest.mark.parametrize(
    "word",
    [
        "Whoever",
        "whatever",
        "somebody",
        "nobody",
        "everybody",
        "shall",
        "anew",
        "beside",
        "lest",
        "so many",
        "so long",
        "for ever",
        "hence",
        "alike",
        "the bell",
        "rings the",
        "parcels",
        "doors",
        "falls silent",
        "a canary",
        "farewell",
        "the truth",
        "a picture",
    ],
)
def test_each_word_is_reported_in_a_comment_and_in_a_docstring(word):
    (comment,) = check_file("ml/labels.py", f"x = 1\n# A comment with {word} in it\n")
    assert comment.line == 2
    assert comment.word in word
    (docstring,) = check_file("ml/labels.py", f'"""Labels.\n\nA text with {word} in it."""\n')
    assert docstring.line == 3
    assert docstring.suggestion == comment.suggestion


def test_every_word_rule_is_tried_here():
    text = "whoever whatever somebody nobody everybody shall anew beside lest, so many, so long, for ever, hence, alike"
    text += " bell parcel door fell silent canary farewell truth picture shift"
    reported = {finding.suggestion for finding in check_file("recognizer/services/inference/x.py", f"# {text}\n")}
    assert reported == {rule.suggestion for rule in rules.WORD_RULES}


def test_a_phrase_is_found_across_a_line_break():
    assert words("ml/labels.py", "# waits so\n# many times\n") == [(1, "so many")]


def test_a_finding_is_printed_with_its_place_and_a_suggestion():
    (finding,) = check_file("ml/labels.py", "# nobody\n")
    assert str(finding).startswith("ml/labels.py:1: nobody: ")


def test_code_and_field_terms_pass():
    assert not words(
        "ml/labels.py", "# `shall` and ``nobody``, ground truth, source of truth, besides, https://x.test/anew\n"
    )
    assert not words("ml/labels.py", 'text = "nobody shall"\n')


def test_shift_is_reported_only_where_the_worker_session_is_meant():
    assert words("recognizer/services/inference/queue.py", "# a shift ends\n") == [(1, "shift")]
    assert not words("recognizer/services/inference/queue.py", "# `shifts` ends\n")
    assert not words("ml/data/augmentation.py", "# a shift of two pixels\n")


def test_canary_is_allowed_in_the_liveness_module():
    assert not words("recognizer/services/ops/liveness.py", "# the canary task\n")


@pytest.mark.parametrize("summary", ["What is stored.", "Who may see it.", "How many rows.", "Whether it is open."])
def test_a_summary_does_not_begin_like_a_question(summary):
    ((_, word),) = words("ml/labels.py", f'def f():\n    """{summary}"""\n')
    assert word == summary.split()[0]


def test_a_summary_is_no_question():
    assert words("ml/labels.py", 'def f():\n    """Can this site answer? Asked by others."""\n') == []
    assert words("ml/labels.py", 'def f():\n    """Can this site answer?"""\n') == [(2, "?")]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("recognizer/static/recognizer/js/draw.js", 'const a = "// nobody";\n// nobody\n'),
        ("recognizer/static/recognizer/js/draw.js", "const a = 1;\n/* nobody */\n"),
        ("recognizer/static/recognizer/site.css", 'a { content: "/* nobody */"; }\n/* nobody */\n'),
        ("recognizer/services/inference/push.lua", 'local a = "-- nobody"\n-- nobody\n'),
        ("Makefile", "all: nobody\n# nobody\n"),
        ("pyproject.toml", "a = 1\nb = 2  # nobody\n"),
    ],
)
def test_comments_of_other_languages_are_checked(file, source):
    assert words(file, source) == [(2, "nobody")]


def test_comments_of_templates_and_prose_of_documents_are_checked(monkeypatch):
    monkeypatch.setattr(rules, "PENDING", ())
    assert words("templates/a.html", "<p>nobody</p>\n{# nobody #}\n") == [(2, "nobody")]
    assert words("templates/a.html", "a\n{% comment %}\nnobody{% endcomment %}\n") == [(3, "nobody")]
    assert words("docs/a.md", "`nobody`\n```\nnobody\n```\nnobody\n") == [(5, "nobody")]
    assert not words("docs/a.md", "The door, the bell and the picture.\n")


def test_pending_files_are_left_out_until_they_are_rewritten(monkeypatch):
    assert words("docs/operations.md", "nobody\n") == [(1, "nobody")]
    monkeypatch.setattr(rules, "PENDING", (("docs/*.md", "C"),))
    assert not words("docs/operations.md", "nobody\n")
    assert {issue for _, issue in rules.PENDING} <= {"B", "C", "F"}


@pytest.mark.parametrize(
    "source",
    [
        "one = 1",
        "for one in range(3): pass",
        "x = [one for one in y]",
        "def f(one): pass",
        "def f(*, one=1): pass",
        "def one(): pass",
        "class one: pass",
        "with f() as one: pass",
        "if (one := f()): pass",
        "import x as one",
        "x.one = 1",
        "x._one = 1",
        "try:\n    pass\nexcept E as one:\n    pass",
        "match x:\n    case [one]: pass",
    ],
)
def test_pronouns_are_no_identifiers_wherever_a_name_is_defined(source):
    ((_, word),) = words("ml/labels.py", source)
    assert word.strip("_") == "one"


@pytest.mark.parametrize("name", sorted(rules.IDENTIFIERS))
def test_each_listed_identifier_is_reported(name):
    assert words("ml/labels.py", f"{name} = 1") == [(1, name)]


@pytest.mark.parametrize("prefix", ["MOST", "LEAST", "LONGEST", "LARGEST", "SMALLEST", "FEWEST", "SHORTEST"])
def test_limits_begin_with_max_or_min(prefix):
    assert words("ml/labels.py", f"{prefix}_ROWS = 1\n_{prefix}_ROWS = 1\n") == [
        (1, f"{prefix}_ROWS"),
        (2, f"_{prefix}_ROWS"),
    ]


def test_names_that_are_only_used_or_contain_a_listed_word_pass():
    assert not words("ml/labels.py", "label = x.one + one\nis_given = MAX_ROWS = almost = f(one=1)\n")


@pytest.mark.parametrize(
    "subject",
    [
        "Add " + "x" * 69,
        "add a check",
        "Add a check.",
        "Added a check",
        "Adding a check",
        "Adds a check",
        "Store what nobody shall lose",
    ],
)
def test_a_subject_that_breaks_a_rule_is_reported(subject):
    assert check_subject("abc1234", subject)


@pytest.mark.parametrize("subject", ["Add a check", "Process rows in batches", "Add " + "x" * 68])
def test_a_short_imperative_subject_passes(subject):
    assert not check_subject("abc1234", subject)


@pytest.mark.parametrize(("text", "status"), [("# A label.\n", 0), ("# nobody\n", 1)])
def test_the_command_ends_with_1_if_a_rule_is_broken(text, status, tmp_path, monkeypatch):
    from digitsite.testing.prose import __main__ as command

    monkeypatch.setattr(command, "ROOT", tmp_path)
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "labels.py").write_text(text)
    assert command.main([str(tmp_path / "ml" / "labels.py")]) == status
    # A folder that is no repository: files are found, commits are not checked.
    assert command.main([]) == status


def test_the_command_runs_as_a_module():
    process = subprocess.run(
        [sys.executable, "-m", "digitsite.testing.prose", "digitsite/testing/prose/sources.py"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout == "prose: 0 findings\n"
