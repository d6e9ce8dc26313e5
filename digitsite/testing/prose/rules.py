"""Rules of the prose check: words to avoid, where each list applies, and the files that are not rewritten yet."""

import re
from dataclasses import dataclass

# What each scope covers:
#   code     comments and docstrings of Python, comments of JavaScript, CSS, Lua, shell, Make, TOML and YAML
#   python   comments and docstrings of Python only
#   docs     Markdown outside of code blocks
#   pages    comments of templates; the text of the pages is not checked
#   commits  subjects of commits since FIRST_COMMIT_SUBJECT
EVERYWHERE = frozenset({"code", "python", "docs", "pages", "commits"})
NO_METAPHORS = frozenset({"code", "python", "pages", "commits"})
PYTHON_ONLY = frozenset({"python"})

# Files that are rewritten later, with the issue that does it. Nothing in them is checked until then.
PENDING = (("templates/*", "F"),)

FIRST_COMMIT_SUBJECT = "Split consent and the Redis client off before services move"
MAX_SUBJECT_LENGTH = 72

WORKER_FILES = (
    "recognizer/services/inference/*",
    "recognizer/services/ops/*",
    "recognizer/tasks.py",
    "digitsite/*",
    "tests/*/inference/*",
)
LIVENESS_FILES = ("*liveness*", "recognizer/tasks.py", "digitsite/*", "CHANGELOG.md")


@dataclass(frozen=True)
class WordRule:
    """A word or phrase to avoid.

    Attributes:
        pattern: What is searched for, ignoring case.
        suggestion: What to write instead.
        scopes: Kinds of text the rule applies to.
        only: File patterns the rule is limited to; empty means every file.
        exempt: File patterns in which the word is allowed.
    """

    pattern: re.Pattern[str]
    suggestion: str
    scopes: frozenset[str] = EVERYWHERE
    only: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()


def _rule(
    phrase: str,
    suggestion: str,
    scopes: frozenset[str] = EVERYWHERE,
    *,
    only: tuple[str, ...] = (),
    exempt: tuple[str, ...] = (),
) -> WordRule:
    """Return a rule for whole words; a space in the phrase also matches a line break."""
    expression = rf"\b(?:{phrase})\b".replace(" ", r"\s+")
    return WordRule(re.compile(expression, re.IGNORECASE), suggestion, scopes, only, exempt)


WORD_RULES = (
    # Words that stand where a noun or a plain verb belongs.
    _rule("whoever|whomever|whosoever|whosever", "name the caller, the user or the process"),
    _rule("whatever|whatsoever", "name the thing, or write 'any'"),
    _rule("somebody|anybody", "name the person or the role"),
    _rule("nobody", "'no user', 'no process', or the passive"),
    _rule("everybody", "'all users', 'every process'"),
    _rule("shall", "'must', 'should' or the present tense"),
    _rule("anew", "'again'"),
    _rule("beside", "'next to', 'in addition to' or 'compared with'"),
    _rule("lest", "'so that … not'"),
    _rule("so many", "a number, 'up to', 'at most'"),
    _rule("so long", "'as long as', or a duration"),
    _rule("for ever", "'permanently', 'without a limit'"),
    _rule("thus|hence|whence|thence", "'so', 'therefore', or a new sentence"),
    _rule("alike", "'also', 'both', 'in the same way'"),
    # Private metaphors.
    _rule("bells?|rings? the|ringing", "'notification', 'notify'", NO_METAPHORS),
    _rule(
        "shifts?",
        "'worker session'",
        NO_METAPHORS,
        only=WORKER_FILES,
        exempt=(
            "digitsite/testing/layout_shifts.py",
            # Names of release 0.9.0.
            "recognizer/services/inference/background.py",
            "recognizer/tasks.py",
        ),
    ),
    _rule("parcels?", "'write request'", NO_METAPHORS),
    _rule("doors?", "'entry point', 'endpoint', 'view'", NO_METAPHORS),
    _rule(
        "(?:falls?|fell|fallen|falling|is|are|was|were|stays?) silent",
        "'missed its heartbeat', 'no response'",
        NO_METAPHORS,
    ),
    _rule("canary|canaries", "'liveness probe'", NO_METAPHORS, exempt=LIVENESS_FILES),
    _rule("farewell", "'deregister'", NO_METAPHORS),
    _rule(r"(?<!ground\s)(?<!source\sof\s)truths?", "'consensus', or 'authoritative'", NO_METAPHORS),
    # A submitted picture is an image in the code; the pages say picture.
    _rule("pictures?", "'image'", PYTHON_ONLY),
)

SUMMARY_OPENERS = re.compile(
    r"(?:what|who|whom|whose|whoever|whatever|how|whether|which|why|where|since|so)\b", re.IGNORECASE
)
SUMMARY_SUGGESTION = "begin with a verb in the imperative or with a noun"
QUESTION_SUGGESTION = "a summary is a statement, not a question"

# Pronouns, adverbs and bare participles are no identifiers, with or without a leading underscore.
IDENTIFIERS = frozenset(
    {
        *("one", "mine", "theirs", "ours", "others", "who", "whom", "whose", "what", "whoever", "whatever"),
        *("somebody", "nobody", "everybody", "there", "most"),
        *("said", "given", "made", "begun", "found", "chosen", "held", "told", "asked", "kept", "seen", "taken"),
    }
)
IDENTIFIER_SUGGESTION = "use a noun: label, row, client, result, params, selected, own …"
LIMIT_PREFIXES = re.compile(r"_*(MOST|LEAST|LONGEST|LARGEST|SMALLEST|FEWEST|SHORTEST)(_|$)")
LIMIT_SUGGESTION = "begin limits with MAX_ or MIN_"
IDENTIFIER_FOLDERS = ("digitsite/", "recognizer/", "ml/", "bench/", "tests/")

# (file pattern, identifier): columns, JSON keys, query parameters and digits, which keep their names.
ALLOWED_IDENTIFIERS = (
    ("recognizer/models/choices.py", "ONE"),
    ("recognizer/models/daily_usage.py", "who"),
    ("recognizer/models/registry.py", "who"),
    ("recognizer/api/serializers/*.py", "mine"),
    ("recognizer/api/serializers/*.py", "seen"),
    ("recognizer/api/serializers/*.py", "who"),
    # Keyword of the pagination, and names that issue C replaces.
    ("recognizer/filters.py", "others"),
    # A key of stored archives.
    ("recognizer/services/ops/backup/archive.py", "made"),
    ("recognizer/filters.py", "mine"),
    ("recognizer/filters.py", "said"),
    # Runs on an earlier release and stays as it was.
    ("tests/integration/upgrade/fill_0_9_0.py", "made"),
    ("tests/integration/upgrade/fill_0_9_0.py", "said"),
)

# First words of a subject that look like another form of the verb and are imperatives.
IMPERATIVES = frozenset(
    {
        "Address",
        "Access",
        "Bypass",
        "Compress",
        "Cross",
        "Embed",
        "Express",
        "Feed",
        "Focus",
        "Need",
        "Pass",
        "Press",
        "Process",
        "Proceed",
        "Seed",
        "Shed",
        "Speed",
        "Suppress",
        "Bring",
        "Exceed",
    }
)
