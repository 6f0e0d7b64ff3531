"""A hash of the code that a rule runs, so that an edit of an imported module reruns the rule and no other.

Snakemake does not look into imported packages. The hash covers a module and every ``segdepth`` module that it
imports, directly or not, but for the plumbing; comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = __package__.split(".")[0]

PLUMBING = frozenset(
    f"{PACKAGE}.{name}" for name in ("config", "devices", "store.code", "store.manifest", "store.trace")
)
"""Modules that only carry values from one place to another: what they carry is in the rule's parameters, and a new
key for the lens must not rerun the multislice."""


def _path(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _strip_docstrings(tree: ast.AST) -> None:
    """Remove every string that stands alone: docstrings, also those below a constant."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                code = [line for line in body if not _is_text(line)]
                setattr(node, field, code if code or not body else [ast.Pass()])


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


@cache
def _read(module: str) -> tuple[str, frozenset[str]]:
    """Digest of one module's code, and the package's modules that it names in imports."""
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(f"no module {module!r} to hash")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parent = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join([*anchor, base] if base else anchor)
            imported.add(base)
            imported.update(f"{base}.{alias.name}" for alias in node.names)
    ours = {name for name in imported if name.split(".")[0] == PACKAGE and _path(name) is not None}
    _strip_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(ours)


def modules_of(module: str) -> list[str]:
    """The module and all the package's modules that it needs, sorted; plumbing and what it alone needs left out."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in PLUMBING:
            seen.add(name)
            waiting.extend(_read(name)[1])
    return sorted(seen)


@cache
def code_hash(module: str) -> str:
    """Sixteen hex digits that change when the code behind ``module`` changes."""
    digest = hashlib.sha256()
    for name in modules_of(module):
        digest.update(f"{name} {_read(name)[0]}\n".encode())
    return digest.hexdigest()[:16]
