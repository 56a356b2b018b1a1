"""Help pages."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from argparse import SUPPRESS, Action
from typing import Any

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring
from jsonargparse import DefaultHelpFormatter

from .hints import in_words
from .part_checks import slot_of
from .parts import SLOTS, Option, known_parts, options_of, purpose, typed
from .plain import plain

WIDEST = 100


def width() -> int:
    """Columns of a page: the terminal's, at most :data:`WIDEST`."""
    return min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)


class Help(DefaultHelpFormatter):
    """Each option with its purpose and default, and no more."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28, width=width())

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        default = action.default
        none = default is None or default is False or default in (SUPPRESS, [])
        if none or "default" in text or not action.option_strings:
            return text
        return f"{text} (default: {'true' if default is True else '%(default)s'})"

    def _format_action_invocation(self, action: Action) -> str:
        names = [name for name in action.option_strings if not name.endswith("+")]
        if not names:
            return super()._format_action_invocation(action)
        value = "" if action.nargs == 0 else " " + str(action.metavar or action.dest.upper())
        return ", ".join(names) + ("" if action.dest == "print_config" else value)


def part_page(slot: str, kind: type) -> str:
    """What a part is, and its options."""
    path = typed(slot)
    lines = [*_wrap(f"--{path} {kind.__name__}: {purpose(kind)}", width()), ""]
    doc = parse_docstring(inspect.getdoc(kind) or "", DocstringStyle.GOOGLE)
    for paragraph in (doc.long_description or "").split("\n\n"):
        lines += _paragraph(paragraph)
    options = options_of(kind)
    if not options:
        return "\n".join([*lines, "It has no options."])
    lines += ["options:"]
    names = {name: f"  --{path}.{name}" for name in options}
    column = max(map(len, names.values())) + 2
    for name, option in options.items():
        lines += _wrap(
            described(option),
            width(),
            initial_indent=names[name].ljust(column),
            subsequent_indent=" " * column,
        )
    return "\n".join(lines)


def described(option: Option) -> str:
    """An option's purpose, what it takes, and its default."""
    default = option.default
    if isinstance(default, tuple | list):
        default = f"[{', '.join(map(str, default))}]"
    slot = slot_of(option.hint)
    if option.required and slot is not None:
        default = SLOTS[slot].default  # as everywhere where no part is named
    required = option.required and default in (None, option.default)
    shown = "required" if required else f"default: {_shown(default)}"
    takes = in_words(option.hint)
    if slot is not None and SLOTS[slot].within is not None:  # nowhere else is there a list of them
        takes = ", ".join(known_parts(slot))
    return f"{' '.join(option.text.split()).rstrip('.')} ({takes}; {shown})"


def _wrap(text: str, columns: int, **indents: str) -> list[str]:
    return textwrap.wrap(text, columns, break_on_hyphens=False, **indents)  # type: ignore[arg-type]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, type):
        return value.__name__
    return str(value).lower() if isinstance(value, bool) else str(value)


def _paragraph(text: str) -> list[str]:
    """A paragraph of a docstring, wrapped; nothing of those that are for who writes Python."""
    if text.startswith(("Raises", "Shapes:", ">>>")):
        return []
    if "\n* " in f"\n{text}":
        items = f"\n{text}".split("\n* ")
        return [line for item in items if item.strip() for line in _paragraph(item)[:-1]] + [""]
    if text.startswith(".. math::"):
        formula = plain(" ".join(text.split())).strip()
        return [
            *_wrap(formula, width(), initial_indent="    ", subsequent_indent="        "),
            "",
        ]
    return [*_wrap(" ".join(plain(text).split()), width()), ""]
