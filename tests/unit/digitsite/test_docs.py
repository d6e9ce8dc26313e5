"""Names, links and commands in the documentation exist, and its diagrams match the code."""

import importlib.util
import re
from pathlib import Path

import pytest
from django.apps import apps

from digitsite import env
from digitsite.testing.site import BASE_DIR
from recognizer.models import RunState, SubmissionState, TruthState

PAGES = sorted(
    [Path(BASE_DIR, name) for name in ("README.md", "CONTRIBUTING.md", "THREAT_MODEL.md", "CHANGELOG.md")]
    + list(Path(BASE_DIR, "docs").rglob("*.md"))
)
NAMES = [str(path.relative_to(BASE_DIR)) for path in PAGES]
# The changelog names what existed once; the appendix describes measurements of earlier releases.
CURRENT = [name for name in NAMES if name != "CHANGELOG.md" and not name.startswith("docs/appendix/")]

MAX_README_LINES = 120
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:tests|docs|recognizer|digitsite|ml|bench|deploy|templates)/[^`*<>… ]+)`")
SERVICE = re.compile(r"`(services/[a-z_/]+(?:\.py)?)`")
MODULE = re.compile(r"python -m ((?:bench|digitsite|ml|docs|tests)[.a-z_]*)")
SETTING = re.compile(r"`([A-Z][A-Z_]{4,})(?:=[^`]*)?`")
HOP = re.compile(r"^\| \d+ \| `([\w.]+)` \| `([\w.]+)\.(\w+)` \|", re.MULTILINE)
METRIC = re.compile(r"`(?:rate\()?(digits_[a-z_]+)[`{]")
# Words in capitals that are no settings: commands of Redis, constants, log levels, variables of the Makefile.
CAPITALS = {
    *("FLUSHALL", "XREADGROUP", "XAUTOCLAIM", "BLMPOP", "BLMOVE", "RPUSH", "OFFSET", "PREPROCESSING_VERSION"),
    *("WARNING", "ERROR", "BENCH", "SECONDS"),
}
# Commands of Django and of its libraries that the documentation uses.
FOREIGN_COMMANDS = {"check", "spectacular"}


def text_of(name: str) -> str:
    return Path(BASE_DIR, name).read_text()


def anchors_of(text: str) -> set[str]:
    """Return the anchors that GitHub derives from the headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def diagram_states(title: str) -> set[str]:
    """Return the states in the diagram under a heading of the architecture page."""
    section = text_of("docs/explanation/architecture.md").split(f"### {title}\n", 1)[1]
    diagram = section.split("```mermaid\nstateDiagram-v2\n", 1)[1].split("```", 1)[0]
    pairs = re.findall(r"^\s*(\S+) --> (\w+|\[\*\])", diagram, re.MULTILINE)
    return {state for pair in pairs for state in pair} - {"[*]"}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings_that_exist(name: str) -> None:
    for target in (first or second for first, second in LINK.findall(FENCE.sub("", text_of(name)))):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = Path(BASE_DIR, name).parent / path if path else Path(BASE_DIR, name)
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file.read_text()), target


@pytest.mark.parametrize("name", CURRENT)
def test_paths_in_the_documentation_exist(name: str) -> None:
    text = text_of(name)
    paths = set(PATH.findall(text)) | {f"recognizer/{path}" for path in SERVICE.findall(text)}
    paths |= {path.rstrip("`.,:;") for path in re.findall(r"pytest (?:-m acceptance )?(tests/\S+)", text)}
    assert not {path for path in paths if not Path(BASE_DIR, path).exists()}


@pytest.mark.parametrize("name", CURRENT)
def test_selections_of_tests_in_the_documentation_select_something(name: str) -> None:
    for command in re.findall(r"pytest ([^`\n]* -k [^`\n]+)", text_of(name)):
        paths = [Path(BASE_DIR, path) for path in re.findall(r"tests/\S+", command)]
        files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
        tests = " ".join(re.findall(r"def (test_\w+)", " ".join(file.read_text() for file in files)))
        tests += " ".join(file.stem for file in files)
        quoted, plain = re.findall(r'-k (?:"([^"]+)"|(\S+))', command)[0]
        assert not [word for word in (quoted or plain).split(" or ") if word not in tests], command


@pytest.mark.parametrize("name", [name for name in CURRENT if not name.startswith("docs/adr/")])
def test_settings_in_the_documentation_exist(name: str) -> None:
    known = set(env.SETTINGS) | set(env.DEPRECATED_NAMES) | CAPITALS
    assert set(SETTING.findall(text_of(name))) <= known


@pytest.mark.parametrize("name", CURRENT)
def test_commands_in_the_documentation_exist(name: str) -> None:
    text = text_of(name)
    commands = Path(BASE_DIR, "recognizer/management/commands")
    for command in set(re.findall(r"manage\.py ([a-z_]+)", text)) - FOREIGN_COMMANDS:
        assert (commands / f"{command}.py").exists(), command
    modules = {module.rstrip(".") for module in MODULE.findall(text)}
    assert not {module for module in modules if importlib.util.find_spec(module) is None}
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_metrics_page_lists_exactly_the_metrics_of_the_code() -> None:
    sources = " ".join(path.read_text() for path in Path(BASE_DIR, "recognizer/services/ops").rglob("*.py"))
    in_the_code = set(re.findall(r'"(digits_[a-z_]+)"', sources))
    listed = set(re.findall(r"^\| `(digits_[a-z_]+)`", text_of("docs/reference/metrics.md"), re.MULTILINE))
    assert {re.sub(r"_(total|info)$", "", metric) for metric in listed} == in_the_code


@pytest.mark.parametrize("name", CURRENT)
def test_metrics_in_the_documentation_are_on_the_metrics_page(name: str) -> None:
    page = text_of("docs/reference/metrics.md")
    for metric in METRIC.findall(text_of(name)):
        assert metric.removesuffix("_bucket") in page or metric.endswith("_"), metric


def test_log_events_are_logged_by_the_code() -> None:
    folders = ("recognizer", "digitsite", "ml")
    sources = " ".join(path.read_text() for folder in folders for path in Path(BASE_DIR, folder).rglob("*.py"))
    rows = re.findall(r"^\| [A-Z]+ \| (`.+?`) \|", text_of("docs/reference/log-events.md"), re.MULTILINE)
    assert len(rows) > 10
    pieces = [piece.strip() for row in rows for event in re.findall(r"`(.+?)`", row) for piece in event.split("…")]
    assert not [piece for piece in pieces if piece not in sources]


def test_command_line_page_lists_every_command() -> None:
    page = text_of("docs/reference/command-line.md")
    commands = Path(BASE_DIR, "recognizer/management/commands").glob("[a-z]*.py")
    assert all(f"`manage.py {path.stem}" in page for path in commands)
    benchmarks = [path for path in Path(BASE_DIR, "bench").glob("*.py") if "__main__" in path.read_text()]
    assert not [path.stem for path in benchmarks if f"`python -m bench.{path.stem}`" not in page]


def test_data_model_page_lists_every_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/reference/data-model.md"), re.MULTILINE))
    assert listed == {model.__name__ for model in apps.get_app_config("recognizer").get_models()}


def test_functions_in_the_table_of_hops_exist() -> None:
    rows = HOP.findall(text_of("docs/explanation/architecture.md"))
    assert len(rows) > 20
    for caller, callee, function in rows:
        assert importlib.util.find_spec(caller), caller
        path = Path(BASE_DIR, *callee.split(".")).with_suffix(".py")
        assert f"def {function}(" in path.read_text(), function


def test_state_diagrams_have_exactly_the_states_of_the_code() -> None:
    assert diagram_states("Submission") == set(SubmissionState.values)
    assert diagram_states("Label consensus") == set(TruthState.values)
    assert diagram_states("TrainingRun") == set(RunState.values)


def test_every_page_is_linked_from_an_index() -> None:
    linked = set()
    for index in ("README.md", "docs/README.md", "docs/adr/README.md"):
        folder = Path(BASE_DIR, index).parent
        linked |= {(folder / target.partition("#")[0]).resolve() for target, _ in LINK.findall(text_of(index))}
    assert not {path for path in PAGES if path.resolve() not in linked} - {Path(BASE_DIR, "README.md")}


def test_decisions_are_numbered_without_duplicates() -> None:
    numbers = [path.name[:4] for path in Path(BASE_DIR, "docs/adr").glob("0*.md")]
    assert len(numbers) == len(set(numbers))


def test_pages_that_the_code_names_exist() -> None:
    for folder in ("recognizer", "digitsite", "ml", "bench", "deploy", "."):
        paths = Path(BASE_DIR).glob("*") if folder == "." else Path(BASE_DIR, folder).rglob("*")
        for path in paths:
            if path.suffix in (".py", ".yaml", ".conf", ".nft", ".toml") or path.name in ("Dockerfile", "Makefile"):
                for page in re.findall(r"\b(docs/[\w/-]+\.md)", path.read_text()):
                    assert Path(BASE_DIR, page).exists(), f"{path.name} names {page}"


def test_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= MAX_README_LINES
