"""Writes docs/settings.md from the settings themselves: .venv/bin/python tools/settings_page.py > docs/settings.md"""

from bertsmith import tasks
from bertsmith.config import PRESETS, Settings
from bertsmith.corpus.settings import PRESETS as CORPUS_PRESETS
from bertsmith.corpus.settings import CorpusSettings, NewEncoder


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Settings",
        "",
        "Every name is a flag (`--learning-rate`) and a key of a settings file (`learning_rate`).",
    ]
    lines += [
        "This page is written by `tools/settings_page.py`.",
        "",
        "| setting | default | what it is |",
        "| --- | --- | --- |",
    ]
    lines += [_line(name, field) for name, field in Settings.model_fields.items() if name != "columns"]
    for name in tasks.names():
        kind = tasks.task_class(name)
        lines += ["", f"## Task `{name}`: {kind.summary}", "", "| name | default | what it is |", "| --- | --- | --- |"]
        lines += [f"| `{each.name}` | guessed | {each.help} |" for each in kind.inputs]
        lines += [_line(option, field) for option, field in kind.options().items()]
    lines += ["", "## Presets", "", "`--preset NAME`; what is given beside a preset goes before it.", ""]
    lines += [
        f"- `{name}`: {', '.join(f'`{key} = {value}`' for key, value in values.items())}"
        for name, values in PRESETS.items()
    ]
    lines += ["", "## Corpora: `adapt` and `pretrain`", "", "What they have beside the settings of every run.", ""]
    lines += ["| name | default | what it is |", "| --- | --- | --- |"]
    lines += [_line(name, field) for name, field in CorpusSettings.model_fields.items()]
    lines += ["", "Of `pretrain` alone:", "", "| name | default | what it is |", "| --- | --- | --- |"]
    lines += [_line(name, field) for name, field in NewEncoder.model_fields.items()]
    lines += ["", "Presets of `adapt`:", ""]
    lines += [
        f"- `{name}`: {', '.join(f'`{key} = {value}`' for key, value in values.items())}"
        for name, values in CORPUS_PRESETS.items()
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, field: object) -> str:
    default = getattr(field, "default", None)
    shown = (
        ""
        if default is None or default == ()
        else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    )
    text = str(getattr(field, "description", "")).replace("|", "\\|")
    return f"| `{name}` | {shown.replace('|', chr(92) + '|')} | {text} |"


if __name__ == "__main__":
    print(page(), end="")
