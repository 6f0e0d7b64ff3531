"""Trace an artefact back to its inputs and report broken links.

The chain may end at an artefact that is distributed without its inputs (the bundled network): these are followed if
they are present and unchanged, and named otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segdepth.errors import StoreError
from segdepth.store.manifest import content_hash, manifest_path, may_end_chain, provenance_hash, read_manifest


@dataclass
class Link:
    """One artefact of a chain: its path, manifest and problems."""

    path: Path
    manifest: dict[str, Any] | None
    problems: list[str] = field(default_factory=list)
    inputs: list[Link] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    external: bool = False

    @property
    def broken(self) -> bool:
        return bool(self.problems) or any(link.broken for link in self.inputs)


def owner_of(path: Path) -> Path:
    """The artefact that a path is, or lies in: the nearest one upwards that has a manifest."""
    for candidate in (path, *path.parents):
        if candidate.name and manifest_path(candidate).exists():  # the root has no name
            return candidate
    raise StoreError(f"{path}: neither it nor a folder around it has a manifest ({path.name}.manifest.json)")


def trace(path: str | Path) -> Link:
    """The chain behind an artefact, every content hash checked against the files on disk.

    Raises
    ------
    StoreError
        The path is missing, or has no manifest.
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
    try:
        link.manifest = read_manifest(path)
    except StoreError as failure:
        link.problems.append(f"has a manifest that cannot be read ({failure})")
        return link
    if not path.exists():
        link.problems.append("is missing, though its manifest is there")
    elif content_hash(path) != link.manifest["content"]:
        link.problems.append("was edited: its content does not match its manifest")
    if expected and link.manifest["content"] != expected:
        link.problems.append("has been made anew since a later artefact read it")
    for given in link.manifest["inputs"]:
        if may_end_chain(link.manifest) and not _as_it_was(path.parent / given["path"], given):
            link.elsewhere.append(given["path"].removeprefix("../" * given["path"].count("../")))
            continue
        below = _trace(path.parent / given["path"], given["content"], seen)
        note = "has a manifest that is not the one a later artefact read"
        if (
            below.manifest
            and given.get("manifest") not in (None, provenance_hash(below.manifest))
            and not below.problems
        ):
            below.problems.append(note)
        link.inputs.append(below)
    return link


def _as_it_was(path: Path, given: dict[str, Any]) -> bool:
    """Whether an input still has the manifest that a later artefact read."""
    try:
        manifest = read_manifest(path)
    except StoreError:
        return False
    return path.exists() and (manifest["content"], provenance_hash(manifest)) == (
        given["content"],
        given.get("manifest"),
    )


def describe(chain: Link, *, full: bool = False) -> str:
    """The chain as text: a tree of artefacts, then what is broken.

    Each artefact is shown once; of three or more shards of a kind in one folder, the first.
    """
    lines: list[str] = []
    shown_paths: set[Path] = set()
    _append_lines(chain, "", "", lines, shown_paths, full)
    problems = [f"  {_short(link.path)} {problem}" for link in _all(chain) for problem in link.problems]
    lines.append("")
    if problems:
        lines += [f"BROKEN in {len(problems)} place{'s' if len(problems) > 1 else ''}:", *problems]
    else:
        ends = [_short(link.path) for link in _all(chain) if link.elsewhere]
        note = f"; the chain ends at {', '.join(ends)}, made elsewhere" if ends else ""
        lines.append(f"whole: {len(_all(chain))} artefacts, each as its manifest says{note}")
    return "\n".join(lines)


def _short(path: Path) -> str:
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def _all(chain: Link) -> list[Link]:
    found: dict[Path, Link] = {}
    waiting = [chain]
    while waiting:
        link = waiting.pop()
        if link.path not in found:
            found[link.path] = link
            waiting.extend(link.inputs)
    return list(found.values())


def _append_lines(link: Link, lead: str, branch: str, lines: list[str], shown_paths: set[Path], full: bool) -> None:
    mark = "".join(f"  << {problem}" for problem in link.problems)
    if link.path in shown_paths:
        lines.append(f"{lead}{branch}{_short(link.path)} (see above){mark}")
        return
    shown_paths.add(link.path)
    lines.append(f"{lead}{branch}{_short(link.path)}{mark}")
    below = lead + ("" if not branch else "   " if branch.startswith("└") else "│  ")
    stem = below + ("│  " if link.inputs else "   ")
    if link.external:
        lines.append(f"{stem}from outside of the workflow")
    if link.manifest:
        lines += [stem + line for line in _facts(link.manifest, full)]
    if link.elsewhere:
        lines.append(f"{stem}made elsewhere, from what is not here: {', '.join(link.elsewhere)}")
    groups: dict[tuple, list[Link]] = {}
    for item in link.inputs:
        command = item.manifest["command"] if item.manifest else str(item.path)
        groups.setdefault((item.path.parent, command), []).append(item)
    shown = [group if full or len(group) < 3 else group[:1] for group in groups.values()]
    for number, (some, group) in enumerate(zip(shown, groups.values())):
        for position, item in enumerate(some):
            last = number == len(shown) - 1 and position == len(some) - 1 and len(some) == len(group)
            _append_lines(item, below, "└─ " if last else "├─ ", lines, shown_paths, full)
        if len(some) < len(group):
            last = number == len(shown) - 1
            broken = sum(item.broken for item in group[len(some) :])
            note = f", {broken} of them broken" if broken else ""
            lines.append(f"{below}{'└─ ' if last else '├─ '}and {len(group) - len(some)} more like it{note}")


def _facts(manifest: dict[str, Any], full: bool) -> list[str]:
    made = f"made by segdepth {manifest['command']}, code {manifest['code']}, commit {manifest['commit'][:12]}"
    made += "+changes" if manifest["commit"].endswith("+changes") else ""
    versions = ", ".join(f"{name} {number}" for name, number in sorted(manifest["versions"].items()))
    facts = [made, f"content {manifest['content'][:16]}"]
    for kind in ("parameters", "seeds"):
        for name, value in sorted(manifest[kind].items()):
            facts.append(f"{kind[:-1]} {name}: {_shown(value, full)}")
    return [*facts, f"versions {versions}"] if full or not manifest["inputs"] else facts


def _shown(value: Any, full: bool, room: int = 150) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if full or len(text) <= room else f"{text[: room - 4]} ..."
