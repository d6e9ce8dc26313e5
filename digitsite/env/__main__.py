"""Print the settings reference as Markdown: `python -m digitsite.env`."""

from .table import SECTIONS, Setting

INTRODUCTION = """\
# Settings

Settings are environment variables; `make run NAME=value` sets one. All have defaults that work. The site does not start
with an invalid value, and one line says why; `manage.py check --deploy` lists all of them. This page is printed by
`python -m digitsite.env`.
"""


def _row(setting: Setting) -> str:
    shown = setting.default_text or (f"`{setting.default}`" if setting.default else "none")
    old_name = f" (deprecated name: `{setting.old_name}`)" if setting.old_name else ""
    return f"| `{setting.name}` | {shown} | {setting.kind.description} | {setting.text}{old_name} |"


def main() -> None:
    """Print one table for each section."""
    print(INTRODUCTION)
    for title, settings in SECTIONS.items():
        print(f"## {title}\n\n| setting | default | value | meaning |\n| --- | --- | --- | --- |")
        print("\n".join(map(_row, settings)), end="\n\n" if title != next(reversed(SECTIONS)) else "\n")


if __name__ == "__main__":
    main()
