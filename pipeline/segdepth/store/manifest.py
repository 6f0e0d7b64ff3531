"""Atomic artefacts and the manifests beside them.

An artefact (a file or a directory) is written under a temporary name and renamed when whole; then its manifest,
``<name>.manifest.json``, is written: hashes, inputs with theirs, parameters, seeds, code. An artefact without its
manifest is not whole. What does not decide the content (commit, versions, device) is in ``<name>.run.json``
(``segdepth.store.run_record``): a manifest is an input of the rules behind, and the same artefact has the same one.

``content`` is the hash of all bytes: made when an artefact is written, and again by ``trace`` and ``verify``.
``outline`` is the hash that a reader checks: names and sizes of Zarr chunks, which carry checksums of their own, and
the bytes of everything else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from segdepth.errors import StoreError
from segdepth.store.claims import claim, release
from segdepth.store.full_disk import full_disk
from segdepth.store.remaking import remedy
from segdepth.store.run_record import read_run_record, run_path, run_record, sealed, unsealed

LAYOUT = 3
"""Of manifests and stores; increased when anything that is read in them is added, renamed or changes its meaning."""

SUFFIX = ".manifest.json"

EARLIER_MANIFEST = "earlier.manifest.json"
"""Name, among a writer's temporary files, of the manifest of the artefact that it replaces."""

TRAVELS = "travels"
"""Note of an artefact that is distributed without its inputs, which its manifest keeps: its chain may end there."""


def may_end_chain(manifest: Mapping[str, Any]) -> bool:
    """Whether an artefact is distributed without its inputs."""
    return bool(manifest.get(TRAVELS) or manifest["notes"].get(TRAVELS))


def manifest_path(artefact: str | Path) -> Path:
    artefact = Path(artefact)
    return artefact.with_name(artefact.name + SUFFIX)


def files_of(folder: Path) -> list[Path]:
    """Files of a directory that are its content: without Snakemake's own time stamp."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp"]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_hash(artefact: str | Path) -> str:
    """SHA-256 of a file's bytes, or of a directory's sorted relative paths and bytes.

    Snakemake's own time stamp inside a directory output does not count.
    """
    artefact = Path(artefact)
    if artefact.is_file():
        return file_hash(artefact)
    digest = hashlib.sha256()
    for path in sorted(files_of(artefact)):
        digest.update(f"{path.relative_to(artefact).as_posix()} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def _is_chunk(path: Path, artefact: Path) -> bool:
    """Whether a file of an artefact holds a chunk of a Zarr array: it lies in the array's folder ``c``."""
    parts = path.relative_to(artefact).parts
    return any((artefact.joinpath(*parts[:at]) / "zarr.json").is_file() for at, part in enumerate(parts) if part == "c")


def outline_hash(artefact: str | Path) -> str:
    """SHA-256 of what can be checked quickly: the names and sizes of Zarr chunks and the bytes of all other files."""
    artefact = Path(artefact)
    if artefact.is_file():
        return file_hash(artefact)
    digest = hashlib.sha256()
    for path in sorted(files_of(artefact)):
        known = path.stat().st_size if _is_chunk(path, artefact) else file_hash(path)
        digest.update(f"{path.relative_to(artefact).as_posix()} {known}\n".encode())
    return digest.hexdigest()


KINDS = {
    **dict.fromkeys(("artefact", "command", "code", "content", "outline"), str),
    **dict.fromkeys(("parameters", "seeds"), dict),
    "inputs": list,
}
"""Keys of a manifest and their types."""

EARLIER = {"commit": str, "versions": dict, "notes": dict}
"""Further keys of a manifest without a seal."""


def _is_manifest(value: Any, is_sealed: bool) -> bool:
    kinds = KINDS if is_sealed else KINDS | EARLIER
    if not isinstance(value, dict) or not all(isinstance(value.get(key), kind) for key, kind in kinds.items()):
        return False
    return all(
        isinstance(item, dict) and isinstance(item.get("path"), str) and isinstance(item.get("content"), str)
        for item in value["inputs"]
    )


def provenance_hash(manifest: Mapping[str, Any]) -> str:
    """Hash of an artefact's content and of what determines it; without versions, commit and notes."""
    determining = {key: manifest[key] for key in ("command", "code", "content", "inputs", "parameters", "seeds")}
    return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()


def read_manifest(artefact: str | Path) -> dict[str, Any]:
    """The manifest of an artefact, with ``commit``, ``versions`` and ``notes`` of the run that made it. (In manifests
    of earlier versions of SegDepth they are themselves.)

    Raises
    ------
    StoreError
        There is none (the artefact is not whole), or it or the run's record cannot be read.
    """
    manifest = _deciding(artefact)
    return manifest if "commit" in manifest else manifest | read_run_record(artefact, manifest["content"])


def _deciding(artefact: str | Path) -> dict[str, Any]:
    """What a manifest itself holds."""
    path = manifest_path(artefact)
    try:
        manifest, whole = unsealed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "has no manifest: it was not finished" if Path(artefact).exists() else "does not exist"
        raise StoreError(f"{artefact}: {what}; {remedy(artefact)}") from None
    except (OSError, ValueError, RecursionError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure}); {remedy(artefact)}") from None
    layout = manifest.get("layout", 2) if isinstance(manifest, dict) and "content" in manifest else LAYOUT
    if layout != LAYOUT:
        raise StoreError(
            f"{artefact}: was made by another version of SegDepth (layout {layout}, this version reads {LAYOUT}); "
            f"{remedy(artefact)}"
        )
    if not _is_manifest(manifest, whole):
        raise StoreError(f"{path}: cannot be read (it lacks what a manifest has); {remedy(artefact)}")
    return manifest


def check_whole(artefact: str | Path, command: str | tuple[str, ...] | None = None) -> dict[str, Any]:
    """The manifest of an artefact, which must be finished and have its manifest's outline; chunks are checked when they
    are read.

    Parameters
    ----------
    command : that must have made it, or several of which one must.

    Raises
    ------
    StoreError
        It is missing, half-written, edited, or of another kind.
    """
    manifest = read_manifest(artefact)
    artefact = Path(artefact)
    if not artefact.exists():
        raise StoreError(f"{artefact}: does not exist, though its manifest does; {remedy(artefact)}")
    wanted = (command,) if isinstance(command, str) else command
    if wanted and manifest["command"] not in wanted:
        allowed = " or ".join(wanted)
        raise StoreError(f"{artefact}: was made by {manifest['command']}; what {allowed} makes is needed here")
    if outline_hash(artefact) != manifest["outline"]:
        raise StoreError(f"{artefact}: was edited or damaged since it was made; {remedy(artefact)}")
    return manifest


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _describe_input(path: Path, folder: Path) -> dict[str, Any]:
    if manifest_path(path).exists():
        manifest = _deciding(path)
        return {"path": _relative(path, folder), "content": manifest["content"], "manifest": provenance_hash(manifest)}
    if not path.exists():
        raise StoreError(f"{path}: does not exist, but was to be recorded as an input")
    return {"path": _relative(path, folder), "content": content_hash(path), "external": True}


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _abandoned(target: Path) -> Iterator[Path]:
    """Remains of this artefact's killed writers on this machine."""
    prefix, host = f".{target.name}.", socket.gethostname()
    for path in target.parent.glob(f"{escape(prefix)}*.partial"):
        owner, _, pid = path.name[len(prefix) : -len(".partial")].rpartition("-")
        if owner == host and pid.isdigit() and not _lives(int(pid)):
            yield path


def _is_of_killed(target: Path) -> bool:
    """Whether an artefact without a manifest was left so by a killed writer: it is the new one, whose manifest was not
    yet put beside it, or the earlier one, whose manifest was already taken away."""
    for path in _abandoned(target):
        new, earlier = path / manifest_path(target).name, path / EARLIER_MANIFEST
        if new.exists() and not (path / target.name).exists():
            return json.loads(new.read_text(encoding="utf-8"))["content"] == content_hash(target)
        if earlier.exists():
            return json.loads(earlier.read_text(encoding="utf-8"))["content"] == content_hash(target)
    return False


def _remove_abandoned(target: Path) -> None:
    for path in list(_abandoned(target)):
        remove(path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def check_target(target: Path, command: str, inputs: Iterable[Path] = ()) -> None:
    """Refuse to replace what is not an earlier artefact of the same command, and to write into what is read or what
    another process writes. No other process may write it from now on until this one has, or has ended.

    Raises
    ------
    StoreError
        ``target`` holds, or lies in, an input; or something else is there already, or a file where its folder would be;
        or another process writes it; or a file that is read differs from its manifest.
    """
    resolved = target.resolve()
    for path in inputs:
        other = path.resolve()
        if resolved == other or resolved in other.parents or other in resolved.parents:
            raise StoreError(f"{target}: is, holds or lies in {path}, which is read; give another --out")
        if path.is_file() and manifest_path(path).exists():
            check_whole(path)  # micrographs and the like, whose readers know nothing of manifests
    above = next(parent for parent in resolved.parents if parent.exists())
    if not above.is_dir():
        raise StoreError(f"{target}: cannot be written, since {above} is a file; give another --out")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        claim(target)
        return
    if not manifest_path(target).exists():
        if _is_of_killed(target):
            claim(target)
            return
        raise StoreError(
            f"{target}: exists but has no manifest: it was not finished, or not made here; remove it or give another "
            "--out"
        )
    earlier = _deciding(target)
    if earlier["command"] != command:
        raise StoreError(f"{target}: was made by {earlier['command']}; remove it or give another --out")
    if outline_hash(target) != earlier["outline"]:
        raise StoreError(f"{target}: was edited since it was made; remove it or give another --out")
    claim(target)


@contextmanager
def write_artefact(
    artefact: str | Path,
    *,
    command: str,
    code: str,
    parameters: Mapping[str, Any],
    inputs: Iterable[str | Path] = (),
    seeds: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """Write an artefact so that it appears whole, with its manifest, or not at all.

    Yields the temporary path to write to (with the artefact's own suffix); a directory must be created by the
    caller. On an exception nothing remains; that of a full disk is raised as an ``OSError`` with the artefact's path.

    Parameters
    ----------
    command : that makes the artefact.
    code : hash of the code, see ``segdepth.store.code_hash.code_hash``.
    parameters : what determines the content besides inputs and code.
    inputs : artefacts (or files from outside) that were read.
    seeds : further facts for the manifest.
    notes : facts for the record of the run; they do not determine anything.
    """
    target, inputs = Path(artefact), [Path(path) for path in inputs]
    check_target(target, command, inputs)
    holder = target.parent / f".{target.name}.{socket.gethostname()}-{os.getpid()}.partial"
    partial = holder / target.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        remove(holder)
        holder.mkdir()
        yield partial
        if not partial.exists():
            raise StoreError(f"{target}: nothing was written")
        manifest = {
            "artefact": target.name,
            "layout": LAYOUT,
            "command": command,
            "code": code,
            "content": content_hash(partial),
            "outline": outline_hash(partial),
            "inputs": [_describe_input(Path(path), target.parent) for path in inputs],
            "parameters": dict(parameters),
            "seeds": dict(seeds or {}),
            **({TRAVELS: True} if (notes or {}).get(TRAVELS) else {}),
        }
        record = run_record(target.name, manifest["content"], notes or {})
        (holder / run_path(target).name).write_text(record, encoding="utf-8")
        (holder / manifest_path(target).name).write_text(sealed(manifest), encoding="utf-8")
        _put_in_place(target, holder)
    except Exception as failure:
        if full := full_disk(failure, target):
            raise full from failure
        raise
    finally:
        remove(holder)
        release(target)


def _put_in_place(target: Path, holder: Path) -> None:
    """Move a finished artefact and what belongs beside it into place, the manifest last; that of an earlier one is
    taken away first. ``_is_of_killed`` knows these moves."""
    partial, manifest, record = (holder / path.name for path in (target, manifest_path(target), run_path(target)))
    if manifest_path(target).exists():
        os.replace(manifest_path(target), holder / EARLIER_MANIFEST)
    if target.exists() and (target.is_dir() or partial.is_dir()):
        os.rename(target, holder / "previous")
    os.replace(partial, target)
    os.replace(record, run_path(target))
    os.replace(manifest, manifest_path(target))
