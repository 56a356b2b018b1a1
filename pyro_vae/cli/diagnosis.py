"""What is wrong with the words of a command, or with a file of options."""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

from .errors import UsageError, did_you_mean
from .hints import in_words, named_class
from .part_checks import check_option, check_part, check_value, slot_of
from .parts import SLOTS, find_class, known_parts, options_of
from .yaml_file import read_yaml


class Diagnosis:
    """Looks at options one by one and raises :class:`UsageError` at the first that is wrong.

    It knows what the parser takes, but not how it takes it: so its messages are ours.
    """

    def __init__(self, parser: ArgumentParser) -> None:
        self.prog = parser.prog
        named = [a for a in parser._actions if a.option_strings]
        self.options = {name: action for action in named for name in action.option_strings}
        self.positionals = [a for a in parser._actions if not a.option_strings]
        self.chosen: dict[str, type | None] = {}
        self.given: set[str] = set()
        for name in SLOTS:
            if f"--{name}" in self.options:
                default = self.options[f"--{name}"].default
                self.chosen[name] = find_class(default["class_path"]) if default else None

    def of_words(self, words: Sequence[str]) -> None:
        """The words after a command, as typed."""
        pending, free, switch = list(words), list(self.positionals), ""
        while pending:
            word = pending.pop(0)
            if not word.startswith("-") or re.fullmatch(r"-\.?\d.*", word):
                self._positional(word, free, switch)
                continue
            name, equals, value = word.partition("=")
            action = self.options.get(name)
            if action is None:
                self._known(name)
            switch = name if action is not None and _is_switch(action) else ""
            if switch and equals and name != "--print_config":
                raise UsageError(f"{name} is a switch: it takes no value")
            if switch:
                continue
            if not equals:
                if not pending or pending[0].startswith("--"):
                    raise UsageError(f"{name} needs a value{self._kind_of_value(name, action)}")
                value = pending.pop(0)
            self._value(name.removeprefix("--"), value, name, typed=True)
        for action in free:
            if action.nargs != "?":
                raise UsageError(f"{action.metavar} is missing: {self.prog} {action.metavar}")
        self._complete()

    def of_mapping(self, options: Mapping[str, Any], path: Path) -> None:
        """What a YAML file holds."""
        self._mapping(options, path)
        self._complete()

    def _mapping(self, options: Mapping[str, Any], path: Path) -> None:
        for key, value in options.items():
            shown = f"{key} in {path}"
            if f"--{key}" not in self.options:
                known = [name.removeprefix("--") for name in self.options]
                raise UsageError(f"{shown} is not an option{did_you_mean(str(key), known)}")
            self._value(key, value, shown, typed=False)

    def _value(self, key: str, value: Any, shown: str, typed: bool) -> None:
        slot, dot, rest = key.partition(".")
        if key == "config" and typed:
            self._mapping(read_yaml(Path(value), "--config: "), Path(value))
        elif key in self.chosen:
            if value is not None:
                self._part(key, key, value, shown)
        elif dot and slot in self.chosen:
            self._part_option(slot, rest, value, shown, typed)
        else:
            action = self.options[f"--{key}"]
            # A switch is true or false in a file.
            check_value(bool if _is_switch(action) else _hint(action), value, shown, typed)

    def _part(self, path: str, slot: str, value: Any, shown: str) -> None:
        """A part by its name, or as a file writes it, with its options."""
        if not isinstance(value, Mapping):
            self.chosen[path] = check_part(slot, str(value), shown)
            return
        if not isinstance(value.get("class_path"), str):
            raise UsageError(f"{shown} names no part: `class_path:` is missing")
        self.chosen[path] = check_part(slot, value["class_path"], shown)
        head, in_file, file = shown.partition(" in ")
        for name, setting in (value.get("init_args") or {}).items():
            self._part_option(path, name, setting, f"{head}.{name}{in_file}{file}", typed=False)

    def _part_option(self, path: str, name: str, value: Any, shown: str, typed: bool) -> None:
        name, dot, rest = name.removeprefix("init_args.").removesuffix("+").partition(".")
        option = check_option(path, self.chosen.get(path), name, shown)
        self.given.add(f"{path}.{name}")
        slot = slot_of(option.hint)
        within = f"{path}.{name}"
        if dot and (slot or within in self.chosen):
            self._part_option(f"{path}.{name}", rest, value, shown, typed)
        elif slot and value is not None:
            self._part(f"{path}.{name}", slot, value, shown)
        elif not (dot and get_origin(option.hint) is dict):  # one of several, by its name
            check_value(option.hint, value, shown, typed)
            kind = named_class(option.hint, value)
            if kind is not None:
                self.chosen[within] = kind

    def _complete(self) -> None:
        for slot, kind in self.chosen.items():
            for name, option in (options_of(kind) if kind else {}).items():
                if option.required and f"{slot}.{name}" not in self.given:
                    raise UsageError(f"{kind.__name__} needs --{slot}.{name}")  # type: ignore[union-attr]

    def _known(self, name: str) -> None:
        slot, dot, _ = name.removeprefix("--").partition(".")
        if not (dot and slot in self.chosen):
            hint = did_you_mean(name, self.options, f"; see {self.prog} --help")
            raise UsageError(f"unknown option {name}{hint}")

    def _positional(self, word: str, free: list[Action], switch: str) -> None:
        if not free:
            why = f": {switch} is a switch and takes no value" if switch else ""
            raise UsageError(f"unexpected {word!r}{why or f'; see {self.prog} --help'}")
        action = free.pop(0)
        check_value(_hint(action), word, str(action.metavar), typed=True)

    def _kind_of_value(self, name: str, action: Action | None) -> str:
        slot = name.removeprefix("--")
        if slot in self.chosen:
            return f": {', '.join(known_parts(slot))}"
        hint = None if action is None else _hint(action)
        return f": {in_words(hint)}" if hint and in_words(hint) != "text" else ""


def _hint(action: Action) -> Any:
    return getattr(action, "_typehint", None) or action.type


def _is_switch(action: Action) -> bool:
    return action.nargs == 0 or action.dest in ("help", "print_config")
