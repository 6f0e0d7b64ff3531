"""The chain behind results as an RO-Crate: a folder or ZIP of files and of what made them from what.

It follows the profile Process Run Crate (``PROFILE``): each artefact is the ``result`` of a ``CreateAction``, whose
``object`` are the artefacts that were read and the parameters, and whose ``instrument`` is the command with its code,
commit and packages. Manifests keep no times, so actions have no ``endTime``.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from segdepth.errors import StoreError
from segdepth.store.chain_record import artefacts, elsewhere
from segdepth.store.manifest import SUFFIX, content_hash, manifest_path, write_artefact
from segdepth.store.run_record import RUN_SUFFIX, run_path
from segdepth.store.trace import Link, trace

if TYPE_CHECKING:
    from rocrate.model import Entity
    from rocrate.rocrate import ROCrate

COMMAND = "export-crate"
PROFILE, PROFILE_VERSION = "https://w3id.org/ro/wfrun/process/0.6", "0.6"
LOCKED = "constraints.txt"
"""The locked versions of all packages, in the folder of a project."""


def export_crate(
    targets: Sequence[Path],
    out: Path,
    *,
    code: str,
    configs: Sequence[Path] = (),
    largest_mb: float = 10.0,
    license: str | None = None,
) -> tuple[int, int]:
    """Write the crate of some results, and return how many artefacts it names and how many of them it holds.

    Parameters
    ----------
    targets : artefacts with manifests, or files inside of them.
    out : a folder, or a ZIP file if it ends in ``.zip``.
    configs : configuration files to add; ``constraints.txt`` of the working folder is added if it is there.
    largest_mb : targets are copied whatever their size, what lies behind them up to this size in MB; what is larger is
        named with its path, size and content hash.
    license : of the data, an address or a name.

    Raises
    ------
    StoreError
        A target has no manifest, or its chain is broken.
    """
    import rocrate  # noqa: F401  (a missing package is told before the chain is read)

    chains = [trace(target) for target in targets]
    for chain in chains:
        if chain.broken:
            raise StoreError(f"{chain.path}: its chain is broken, see segdepth trace; a crate holds whole chains only")
    added = [path for path in (*configs, Path(LOCKED)) if path in configs or path.is_file()]
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[*(chain.path for chain in chains), *added],
        parameters={"largest_mb": largest_mb, "license": license},
    ) as partial:
        folder = partial.parent / "crate" if out.suffix == ".zip" else partial
        content = _Content(folder, {chain.path for chain in chains}, largest_mb)
        for path in added:
            content.add_file(path, description="configuration" if path in configs else "locked versions of packages")
        for link in artefacts(*chains):
            content.add(link)
        content.write(f"SegDepth: {', '.join(chain.path.name for chain in chains)}", license)
        if folder != partial:
            shutil.make_archive(str(partial.with_suffix("")), "zip", folder)
    return len(content.data), content.copied


class _Content:
    """What is put into a crate: entities by artefact, and the files of those that are copied."""

    def __init__(self, folder: Path, targets: set[Path], largest_mb: float) -> None:
        from rocrate.rocrate import ROCrate

        self.crate: ROCrate = ROCrate()
        self.folder, self.targets, self.largest = folder, targets, largest_mb * 1e6
        self.data: dict[Path, Entity] = {}
        self.copied = 0
        self._folders: list[tuple[Path, str]] = []

    def add(self, link: Link) -> None:
        """An artefact, and if it has a manifest, that and the action that made it."""
        result = self._data(link)
        if link.manifest is None:
            return
        place = _place(link.path)
        beside = {manifest_path(link.path): place + SUFFIX, run_path(link.path): place + RUN_SUFFIX}
        written = [
            self.add_file(path, name, about=result, encodingFormat="application/json")
            for path, name in beside.items()
            if path.exists()  # manifests of earlier versions hold what is known of the run themselves
        ]
        made = f"segdepth {link.manifest['command']}"
        action = self.crate.add_action(
            self._tool(link.manifest),
            identifier=f"#run/{quote(place)}",
            object=[*map(self._data, link.inputs), *self._not_here(link), *self._parameters(link.manifest)],
            result=[result, *written],
            properties={"name": f"{made} -> {place}", "description": f"all facts of this run: {place}{SUFFIX}"},
        )
        self.crate.root_dataset.append_to("mentions", action)

    def add_file(self, source: Path, place: str | None = None, **facts: Any) -> Entity:
        place = place or _place(source.absolute())
        return self.crate.add_file(source, place, properties={"name": place} | facts, record_size=True)

    def write(self, name: str, license: str | None) -> None:
        root = self.crate.root_dataset
        self.crate.name = name
        self.crate.description = "Results of SegDepth with the chain behind them, back to atoms, seeds and code"
        if license is not None:
            self.crate.license = license
        root["conformsTo"] = self._context(
            PROFILE, "CreativeWork", {"name": "Process Run Crate", "version": PROFILE_VERSION}
        )
        self.crate.write(self.folder)
        for source, place in self._folders:
            shutil.copytree(
                source, self.folder / place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake_timestamp")
            )

    def _data(self, link: Link) -> Entity:
        if link.path not in self.data:
            place, size = _place(link.path), _size(link.path)
            content = link.manifest["content"] if link.manifest else content_hash(link.path)
            facts = {"name": place, "identifier": f"sha256:{content}", "contentSize": str(size)}
            copied = link.path in self.targets or size <= self.largest
            self.copied += copied
            if not copied:
                facts["description"] = "not in this crate; its content hash tells whether a copy is the same"
                self.data[link.path] = self._context(f"#{quote(place)}", "CreativeWork", facts)
            elif link.path.is_dir():
                self._folders.append((link.path, place))
                self.data[link.path] = self.crate.add_dataset(None, place, properties=facts)
            else:
                kind, _ = mimetypes.guess_type(place)
                facts |= {"sha256": content} | ({"encodingFormat": kind} if kind else {})
                self.data[link.path] = self.crate.add_file(link.path, place, properties=facts)
        return self.data[link.path]

    def _not_here(self, link: Link) -> list[Entity]:
        told = "was not here when this crate was written: its reader is distributed without it"
        return [
            self._context(
                f"#elsewhere/{one['content'][:16]}/{quote(one['path'])}",
                "CreativeWork",
                {"name": one["path"], "identifier": f"sha256:{one['content']}", "description": told},
            )
            for one in elsewhere(link)
        ]

    def _parameters(self, manifest: dict[str, Any]) -> Iterable[Entity]:
        for kind in ("parameters", "seeds"):
            for name, value in sorted(manifest[kind].items()):
                text = json.dumps(value, sort_keys=True)
                identifier = f"#{kind}/{quote(name)}/{_short_hash([name, value])}"
                yield self._context(identifier, "PropertyValue", {"name": name, "value": text})

    def _tool(self, manifest: dict[str, Any]) -> Entity:
        """A command with the code behind it; the same for all artefacts that the same code made."""
        versions, commit = dict(manifest["versions"]), manifest.get("commit", "unknown")
        facts = {
            "name": f"segdepth {manifest['command']}",
            "softwareVersion": versions.pop("segdepth", "unknown"),
            "description": f"code {manifest['code']}, commit {commit}",
            "softwareRequirements": [
                self._context(
                    f"#{name}-{quote(number)}", "SoftwareApplication", {"name": name, "softwareVersion": number}
                )
                for name, number in sorted(versions.items())
            ],
        }
        key = _short_hash([manifest[each] for each in ("command", "code", "versions")] + [commit])
        return self._context(f"#segdepth-{quote(manifest['command'])}-{key}", "SoftwareApplication", facts)

    def _context(self, identifier: str, kind: str, facts: dict[str, Any]) -> Entity:
        from rocrate.model import ContextEntity

        known = self.crate.get(identifier)
        return known or self.crate.add(ContextEntity(self.crate, identifier, {"@type": kind} | facts))


def _place(path: Path) -> str:
    """The path of a file in the crate: that in the working folder; for what lies outside of it, one of its own."""
    here = Path.cwd().resolve()
    if path.resolve().is_relative_to(here):
        return path.resolve().relative_to(here).as_posix()
    return f"outside/{_short_hash(str(path.resolve().parent))}/{path.name}"


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def _short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
