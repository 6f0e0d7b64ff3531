"""Follow an artefact back to what it was made from, and say where a link is broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segdepth.store.manifest import StoreError, content_hash, manifest_path, read_manifest


@dataclass
class Link:
    """One artefact of a chain: where it is, what its manifest says, what is wrong with it."""

    path: Path
    manifest: dict[str, Any] | None
    problems: list[str] = field(default_factory=list)
    inputs: list[Link] = field(default_factory=list)
    external: bool = False

    @property
    def broken(self) -> bool:
        return bool(self.problems) or any(link.broken for link in self.inputs)


def owner_of(path: Path) -> Path:
    """The artefact that a path is, or lies in: the nearest one upwards that has a manifest."""
    for candidate in (path, *path.parents):
        if manifest_path(candidate).exists():
            return candidate
    raise StoreError(f"{path}: neither it nor a folder around it has a manifest ({path.name}.manifest.json)")


def trace(path: str | Path) -> Link:
    """The chain behind an artefact, every content hash checked against the files on disk.

    Raises
    ------
    StoreError
        The path is missing, or no manifest stands beside it.
    """
    path = Path(path)
    if not path.exists() and not manifest_path(path).exists():
        raise StoreError(f"{path}: does not exist")
    return _trace(owner_of(path.absolute()), None, {})


def _trace(path: Path, expected: str | None, seen: dict[Path, Link]) -> Link:
    path = path.resolve()
    if path in seen:
        known = seen[path]
        if expected and known.manifest and known.manifest["content"] != expected:
            note = "has been made anew since a later artefact read it"
            if note not in known.problems:
                known.problems.append(note)
        return known
    link = seen[path] = Link(path, None)
    if not manifest_path(path).exists():
        link.external = True
        if not path.exists():
            link.problems.append("is missing")
        elif expected is None or content_hash(path) != expected:
            link.problems.append("has changed since it was read")
        return link
    link.manifest = read_manifest(path)
    if not path.exists():
        link.problems.append("is missing, though its manifest is there")
    elif content_hash(path) != link.manifest["content"]:
        link.problems.append("was edited: its content does not match its manifest")
    if expected and link.manifest["content"] != expected:
        link.problems.append("has been made anew since a later artefact read it")
    for given in link.manifest["inputs"]:
        link.inputs.append(_trace(path.parent / given["path"], given["content"], seen))
    return link
