"""A hash of the code that a rule runs, so that an edit of it reruns this rule and no other.

Snakemake does not look into imported packages. The hash is made from files found by their paths; nothing is imported.
It begins with the function in ``cli`` of the rule's command and follows the names in it:

* A definition that is reached (a function, a class, a constant) counts with every definition that it names, in its own
module or imported, at the top or in a function. A new key of the lens changes the class ``Imaging``, which no
multislice names. A module that is imported as such counts whole.
* What runs when a module is imported and defines nothing, or registers something, counts with whatever the module has.
* A data file counts where a definition names it, or names the folder ``data`` that contains it.
* ``PLUMBING`` does not count: its results are in the rule's parameters.

Comments, docstrings, layout, and the texts of options (``help``) and keys (``description``) do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = __package__.split(".")[0]
ROOT = Path(__file__).resolve().parents[1]

PLUMBING = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "errors",
        "config.loading",
        "config.root",
        "config.validation",
        "cli.app",
        "figures.registry",
        "store.claims",
        "store.code_hash",
        "store.full_disk",
        "store.manifest",
        "store.remaking",
        "store.run_record",
        "store.shards",
        "store.trace",
        "store.verify",
    )
)
"""Modules that only check, report or write files."""

ALWAYS = ((f"{PACKAGE}.store.manifest", "LAYOUT"),)
"""Definitions that every rule depends on: a new layout of stores makes all of them anew."""

TEXTS = {"cli": "help", "config": "description"}
"""Arguments that are texts for the user, by room."""


class Target(NamedTuple):
    """What is reached: a definition of a module, the whole module (None), or what runs when it is imported ("")."""

    module: str
    name: str | None = None


class Statement:
    """A statement at the top of a module: its digest, and the imports and names in it."""

    def __init__(self, node: ast.stmt, text: str | None) -> None:
        self.import_node = node if isinstance(node, ast.Import | ast.ImportFrom) else None
        self.function = node.name if isinstance(node, ast.FunctionDef) else None
        self.is_ours = not isinstance(node, ast.Import | ast.ImportFrom) or _is_ours(node)
        self.commands = list(_commands(node))
        self.decorators = {
            inner.id
            for decorator in getattr(node, "decorator_list", ())
            for inner in ast.walk(decorator)
            if isinstance(inner, ast.Name)
        }
        self.bound = frozenset(_bound(node))
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.names: set[str] = set()
        self.words: set[str] = set()
        parts: list[str] = []
        self._scan(node, text, parts)
        self.code = hashlib.sha256("".join(parts).encode()).hexdigest()

    def _scan(self, node: Any, text: str | None, parts: list[str]) -> None:
        """Append the syntax tree as text, the same for every version of Python that can parse it: empty fields are left
        out, and so are strings that stand alone (docstrings, also those below a constant) and arguments ``text``."""
        if isinstance(node, list):
            parts.append("[")
            for item in node:
                if not _is_text(item):
                    self._scan(item, text, parts)
            parts.append("]")
            return
        if not isinstance(node, ast.AST):
            parts.append(repr(node))
            parts.append(",")
            return
        kind = type(node)
        if kind is ast.Name:
            self.names.add(node.id)
        elif kind is ast.Constant:
            if isinstance(node.value, str):
                self.words.add(node.value)
            parts.append(f"{node.value!r},")
            return
        elif kind is ast.Import or kind is ast.ImportFrom:
            self.imports.append(node)
        elif kind is ast.Pass or (kind is ast.keyword and text and node.arg == text):
            return
        parts.append(kind.__name__)
        parts.append("(")
        for field in kind._fields:
            value = getattr(node, field, None)
            if value is not None and value != [] and field not in ("ctx", "type_comment"):
                parts.append(field)
                self._scan(value, text, parts)
        parts.append(")")


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top of a module defines there."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif not isinstance(statement, ast.Expr):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from (_called(alias) for alias in node.names)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name


def _commands(statement: ast.stmt) -> Iterator[str]:
    """Commands that a function is, by its decorators ``@app.command("name")``."""
    for decorator in getattr(statement, "decorator_list", ()):
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", None) == "command":
            yield from (given.value for given in decorator.args if isinstance(given, ast.Constant))


def _is_text(line: Any) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import is from the package itself."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == PACKAGE for alias in node.names)
    return node.level > 0 or (node.module or "").split(".")[0] == PACKAGE


def _called(alias: ast.alias) -> str:
    """The local name of an imported module or definition."""
    return alias.asname or alias.name.split(".")[0]


class Module:
    """One parsed file of the package."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.is_package = path.name == "__init__.py"
        self.room = name.split(".")[1] if "." in name else ""
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = TEXTS.get(self.room)
        self.statements = [Statement(node, text) for node in tree.body if not _is_text(node)]

    @cached_property
    def definitions(self) -> dict[str, list[Statement]]:
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in statement.bound:
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def effects(self) -> list[Statement]:
        """Statements that run when the module is imported and do more than define names: a call, a decorator of the
        package's. None in ``cli``, where decorators register commands, and in a package's ``__init__``."""
        if self.room == "cli" or self.is_package:
            return []
        ours = {name for statement in self.statements if statement.is_ours for name in statement.bound}
        return [statement for statement in self.statements if not statement.bound or statement.decorators & ours]

    @property
    def anchor(self) -> list[str]:
        """The package that relative imports begin with."""
        words = self.name.split(".")
        return words if self.is_package else words[:-1]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Package:
    """The files of the package below ``root``, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}
        self._followed: dict[Target, tuple[str, tuple[Target, ...]]] = {}
        self._data: dict[Path, tuple[tuple[str, str, bool], ...]] = {}

    def module(self, name: str) -> Module | None:
        """A module by its dotted name; None where the package has none of that name."""
        if name not in self._modules:
            base = self.root.joinpath(*name.split(".")[1:])
            places = (base.with_suffix(".py"), base / "__init__.py") if "." in name else (base / "__init__.py",)
            path = next((place for place in places if place.is_file()), None)
            self._modules[name] = Module(name, path) if path and name.split(".")[0] == PACKAGE else None
        return self._modules[name]

    def command(self, command: str) -> Target:
        """The function of ``cli`` that is the command of this name."""
        for path in sorted((self.root / "cli").glob("*.py")):
            if path.stem == "__init__" or f'"{command}"' not in path.read_text(encoding="utf-8"):
                continue
            module = self.module(f"{PACKAGE}.cli.{path.stem}")
            for statement in module.statements:
                if command in statement.commands:
                    return Target(module.name, statement.function)
        raise LookupError(f"no module of {PACKAGE}.cli defines the command {command!r}")

    def closure(self, *starts: Target) -> dict[Target, str]:
        """Every module and definition that is reached, with its digest."""
        found: dict[Target, str] = {}
        waiting = list(starts)
        while waiting:
            target = waiting.pop()
            if target not in found:
                found[target], behind = self._follow(target)
                waiting.extend(behind)
        return found

    def _follow(self, target: Target) -> tuple[str, tuple[Target, ...]]:
        if target not in self._followed:
            module = self.module(target.module)
            if module is None:
                raise LookupError(f"no module {target.module!r} to hash")
            if target.name is None:
                digest, behind = self._count(module, module.statements)
            elif target.name == "":
                digest, behind = self._count(module, module.effects)
                imports = [s for s in module.statements if s.import_node is not None and module.room != "cli"]
                behind = [*behind, *(Target(other.module, "") for other in self._imports(module, imports))]
            else:
                digest, behind = self._count(module, module.definitions[target.name], target.name)
                behind.append(Target(target.module, ""))
            self._followed[target] = digest, tuple(t for t in behind if t.module not in PLUMBING)
        return self._followed[target]

    def _count(self, module: Module, statements: list[Statement], name: str | None = None) -> tuple[str, list[Target]]:
        """Digest of statements of a module and what they lead to; of imports, the one that is called ``name``."""
        counted: list[str] = []
        behind: list[Target] = []
        for statement in statements:
            node = statement.import_node
            if node is not None and name is not None:
                used = [alias for alias in node.names if _called(alias) == name]
                found = [target for alias in used for target in self._imported(module, node, alias)]
                behind += found
                if not found:  # of another package: which one counts
                    counted += [f"{getattr(node, 'module', None)} {alias.name}" for alias in used]
                continue
            counted.append(statement.code)
            counted += [f"{path} {content}" for path, content in self._data_files(module, statement)]
            behind += self._imports(module, [statement])
            behind += [Target(module.name, other) for other in statement.names & set(module.definitions) - {name}]
        return _digest(counted), behind

    def _imports(self, module: Module, statements: Iterable[Statement]) -> list[Target]:
        return [
            target
            for statement in statements
            for node in statement.imports
            for alias in node.names
            for target in self._imported(module, node, alias)
        ]

    def _imported(self, module: Module, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> list[Target]:
        """What one name of an import statement leads to; nothing where it leads out of the package."""
        if isinstance(node, ast.Import):
            return [Target(alias.name)] if self.module(alias.name) else []
        base = node.module or ""
        if node.level:
            anchor = module.anchor[: len(module.anchor) - node.level + 1]
            base = ".".join([*anchor, base] if base else anchor)
        if base.split(".")[0] != PACKAGE:
            return []
        if self.module(f"{base}.{alias.name}"):
            return [Target(f"{base}.{alias.name}")]
        found = self.module(base)
        if found is None:
            raise LookupError(f"{module.path}: imports {base!r}, which is not there")
        return [Target(base, alias.name if alias.name in found.definitions else None)]

    def _data_files(self, module: Module, statement: Statement) -> list[tuple[str, str]]:
        """Data that a statement reads: of the module's folder, the files that it names, and the folder ``data`` if it
        names that."""
        folder = module.path.parent
        if folder == self.root:
            return []
        if folder not in self._data:
            beside = [path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")]
            stored = [
                path for path in (folder / "data").rglob("*") if path.is_file() and "__pycache__" not in path.parts
            ]
            self._data[folder] = tuple(
                (path.relative_to(self.root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest(), path in stored)
                for path in sorted([*beside, *stored])
            )
        return [
            (name, content)
            for name, content, in_data in self._data[folder]
            if (in_data and "data" in statement.words)
            or any(name.endswith(word) for word in statement.words if "." in word)
        ]


@cache
def _package(root: Path) -> Package:
    return Package(root)


def reached(command: str, *modules: str, root: Path = ROOT) -> dict[Target, str]:
    """Modules and definitions behind a command, each with its digest.

    Parameters
    ----------
    command : a command, ``simulate-waves``, or a module's dotted name.
    modules : further modules that the command imports by a name that only the rule knows (a figure's).
    root : folder of the package.

    Raises
    ------
    LookupError
        There is no such command or module.
    """
    package = _package(root)
    start = Target(command) if command.startswith(f"{PACKAGE}.") else package.command(command)
    return package.closure(start, *(Target(name) for name in modules), *(Target(*always) for always in ALWAYS))


@cache
def code_hash(command: str, *modules: str, root: Path = ROOT) -> str:
    """Sixteen hex digits that change when the code behind a command changes; the arguments are those of ``reached``."""
    digest = hashlib.sha256()
    for (module, name), content in sorted(reached(command, *modules, root=root).items(), key=lambda item: str(item[0])):
        digest.update(f"{module} {name or ''} {content}\n".encode())
    return digest.hexdigest()[:16]
