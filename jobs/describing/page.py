"""The reference of keys as a page (docs/recipe.md), and as text for a terminal."""

import textwrap
from collections.abc import Iterable

from jobs.describing.keys import KeyGroup, SettingKey, key_groups

HEAD = """\
# Recipe: every key

A recipe is TOML. `parsimony recipe new` writes one, `parsimony recipe show R` shows one with all that it leaves unsaid,
`parsimony recipe keys` prints this page on a terminal, and `--set section.key=value` changes a key for one command. An
unknown key, another type or a value out of its bounds is refused before anything is started.

A resume may change keys marked with *; all others decide results, and a run that was begun with another value is not
gone on with. Editors complete and check recipes by the [JSON schema](../jobs/describing/recipe.schema.json) (for Taplo
and VS Code: a first line `#:schema recipe.schema.json`). Of the strategies, [strategies.md](strategies.md) and
[rival-strategies.md](rival-strategies.md) say what they do.

This page is generated: `parsimony recipe keys --markdown > docs/recipe.md`.
"""


def reference_page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for group in key_groups():
        parts.append(f"\n## {group.title or 'Outside any section'}\n\n{group.text}\n")
        if group.keys:
            parts.append("\n| key | type | unit | default | bounds | what |\n|---|---|---|---|---|---|\n")
            parts.append("".join(map(_row, group.keys)))
    return "".join(parts)


def reference_text(wanted: str | None, width: int) -> str:
    """The reference for people at a terminal.

    Args:
        wanted: a section, a key, or part of one; None: all.
        width: in characters.
    """
    return "\n".join(_lines(_matching(key_groups(), wanted), width))


def _matching(groups: Iterable[KeyGroup], wanted: str | None) -> list[KeyGroup]:
    """What has the wanted text in its dotted name or its title."""
    found = []
    for group in groups:
        section = group.title.partition("]")[0].removeprefix("[")
        keys = tuple(key for key in group.keys if wanted is None or wanted in f"{section}.{key.name}".removeprefix("."))
        if keys or wanted is None or wanted in group.title:
            found.append(KeyGroup(group.title, group.text, keys or group.keys))
    return found


def _lines(groups: Iterable[KeyGroup], width: int) -> Iterable[str]:
    for group in groups:
        yield from ("", f"{group.title or '(outside any section)'}  {group.text}".strip())
        for key in group.keys:
            facts = (
                key.kind,
                key.unit,
                key.bounds,
                f"default {key.default}" if key.default != "required" else "required",
            )
            yield f"  {key.name}{'*' if key.resumable else ''}   {'; '.join(filter(None, facts))}"
            yield from textwrap.wrap(key.text, width - 6, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _row(key: SettingKey) -> str:
    name = f"`{key.name}`{' *' if key.resumable else ''}"
    default = key.default if key.default in ("required", "omitted") else f"`{key.default}`"
    cells = (name, key.kind, key.unit, default, key.bounds, key.text)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
