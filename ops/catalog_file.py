"""
The catalog's YAML file: read, checked, and every mistake named with its line. An edge: it reads a file.

YAML loaders keep the last of two equal keys without a word, and a plan named twice would be lost that way. So this
builds the document from YAML's nodes, where both still stand and each has its line.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from entitlements.domain.catalog import Catalog
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.document import Mistake, Path, printable
from entitlements.domain.path_readings import is_decodable

MAX_BYTES = 1024 * 1024
_MAX_VALUES = 100_000  # ten aliases of ten aliases of … are a billion values in a few lines


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFile:
    """A catalog without mistakes. *document* is the file as plain data, fit for JSON; it has names of secrets only."""

    document: Mapping[str, Any]
    catalog: Catalog


class CatalogMistakes(Exception):
    """
    The catalog cannot be used: correct what each line names.

    *mistakes* are (line, text), sorted by line from 1 on; the line is None for what is wrong with the file as a whole.
    """

    def __init__(self, path: pathlib.Path, mistakes: tuple[tuple[int | None, str], ...]) -> None:
        self.mistakes = tuple(sorted(set(mistakes), key=lambda mistake: (mistake[0] or 0, mistake[1])))
        super().__init__(
            "\n".join(f"{path}: {text}" if line is None else f"{path}:{line}: {text}" for line, text in self.mistakes)
        )


def load(path: pathlib.Path) -> CatalogFile:
    """
    The catalog in a file.

    Raises `CatalogMistakes`: its text is one line for each mistake, `catalog.yaml:12: products.x.plans.y.apis: must
    name at least one API`. A file that is not YAML has one: nothing behind it can be read.
    """
    try:
        unfolding = _Unfolding()
        document = unfolding.document(_compose(_read(path)))
    except _Unreadable as error:
        raise CatalogMistakes(path, ((error.line, error.text),)) from error
    except RecursionError as error:
        raise CatalogMistakes(path, ((None, "lists and mappings are nested too deeply"),)) from error
    catalog, mistakes = read_catalog(document)
    located = [*unfolding.mistakes, *(mistake for mistake in mistakes if mistake.path not in unfolding.faulty_keys)]
    located += [
        Mistake(path=("routes", at, "path"), text="its percent-escapes are not UTF-8: no request can be for it")
        for at, route in enumerate(() if catalog is None else catalog.routes)
        if not is_decodable(route.path)
    ]
    if catalog is None or located:
        raise CatalogMistakes(
            path,
            tuple(
                (unfolding.line_of(mistake.path), f"{mistake.where}: {mistake.text}" if mistake.path else mistake.text)
                for mistake in located
            ),
        )
    return CatalogFile(document=document, catalog=catalog)


class _Unreadable(Exception):
    """The file cannot be made into a document."""

    def __init__(self, line: int | None, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def _read(path: pathlib.Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _Unreadable(None, f"cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise _Unreadable(None, f"is larger than {MAX_BYTES} bytes: no catalog is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object is what was decoded, less a byte order mark; that has no line in it.
        line = error.object[: error.start].count(b"\n") + 1
        raise _Unreadable(line, "is not UTF-8: save the file in that encoding") from error


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise _Unreadable(None if mark is None else mark.line + 1, f"is not YAML: {printable(problem)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Unreadable(
            line, f"is not YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        ) from error
    except (ValueError, OverflowError) as error:
        # PyYAML hands the number of an escape such as \UFFFFFFFF to chr() as it stands.
        raise _Unreadable(None, "is not YAML: an escape \\U names no character") from error


@dataclass(slots=True, kw_only=True)
class _Unfolding:
    """
    YAML's nodes made into plain data, as `yaml.safe_load` would, and where each value stands.

    What can't be taken as written is noted and given a stand-in, so that the rest can be checked: the second of two
    equal keys is filed beside the first, as `key (again)`. *faulty_keys* are the paths of keys already complained of.
    """

    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    faulty_keys: set[Path] = field(default_factory=set)
    _values: int = 0
    _around: list[yaml.Node] = field(default_factory=list)
    _scalars: yaml.SafeLoader = field(default_factory=lambda: yaml.SafeLoader(""))

    def document(self, root: yaml.Node | None) -> Any:
        if root is None:
            return None
        self.lines[()] = root.start_mark.line + 1
        return self._value(root, ())

    def line_of(self, path: Path) -> int | None:
        """The line of a key or list item; of what it would stand in, if it is missing."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise _Unreadable(self.line_of(path), f"aliases make this more than {_MAX_VALUES} values")
        if node in self._around:
            self._wrong(path, "this alias stands inside of what it repeats")
            return None
        self._around.append(node)
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(node, path)
                case yaml.SequenceNode():
                    return self._sequence(node, path)
                case _:
                    return self._scalar(node, path)
        finally:
            self._around.pop()

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.mistakes.append(
                    Mistake(path=path, text=f"the key on line {line} is a list or a mapping, not text")
                )
                continue
            written = key = str(key_node.value)
            while key in found:
                key += " (again)"
            self.lines[*path, key] = line
            if key != written:
                self._faulty_key((*path, key), f"is here twice, first on line {self.lines[*path, written]}")
            elif key_node.tag == "tag:yaml.org,2002:merge":
                self._faulty_key((*path, key), "merge keys are not read: write the values out")
            elif key_node.tag != "tag:yaml.org,2002:str":
                self._faulty_key((*path, key), "YAML does not read this key as text: put it in quotes")
            found[key] = self._value(value_node, (*path, key))
        return found

    def _sequence(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.lines[*path, index] = item.start_mark.line + 1
            items.append(self._value(item, (*path, index)))
        return items

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._wrong(path, f"cannot be read as YAML's {printable(node.tag.rpartition(':')[2])}: put it in quotes")
            return node.value

    def _faulty_key(self, path: Path, text: str) -> None:
        self.faulty_keys.add(path)
        self._wrong(path, text)

    def _wrong(self, path: Path, text: str) -> None:
        self.mistakes.append(Mistake(path=path, text=text))
