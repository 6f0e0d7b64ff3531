"""From a film and a network to depth maps and columns, one frame after the other. Nothing is written.

Frames are read and prepared, predicted, and searched for columns in three threads, so that these overlap; memory does
not depend on the length of the film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from torch import nn

from segdepth.config import PredictionOptions
from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.labels.column_depths import confidence_of
from segdepth.micrograph.columns.film import FilmSites
from segdepth.micrograph.edge_distance import edge_distance
from segdepth.micrograph.familiarity.features import GEOMETRY, features
from segdepth.micrograph.familiarity.judgement import Familiarity, Judgement
from segdepth.micrograph.files.recording import FrameLost, Recording
from segdepth.micrograph.film import Film, inspect_film
from segdepth.micrograph.label_maps import on_labels, rim_of
from segdepth.micrograph.network_maps import predict_images
from segdepth.micrograph.overlap import ahead
from segdepth.micrograph.preparation import Preparation, Prepared
from segdepth.micrograph.results.facts import NOT_EXPLAINED_STAMP, FilmFacts, FrameResult, LostFrame
from segdepth.micrograph.results.in_memory import gathered
from segdepth.micrograph.thickness import Columns, Thickness, columns_on, joined
from segdepth.networks.card import NetworkCard
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.serving import ServedNetwork

BATCH_PIXELS = 4 * 128 * 128
"""Network pixels of a batch of frames, about: more are no faster."""

MOST_BATCH = 8
TOLD_SATURATED = 0.1
"""Share of columns that may be beyond the last count from which on it is said."""


AT_EDGE = "at the edge of what the network has learnt; compare with a frame that is not"
CAMERA_NOT_SURE = "gain and offset of the camera are not known, so neither are dose and contrast"
NOT_KNOWN = "what this network has learnt is not known (--familiarity): frames unlike it cannot be recognised"


@dataclass(frozen=True)
class Ready:
    """A frame on the network's grid. image : (y, x) on the file's pixels, vacuum = 1, NaN where masked."""

    number: int
    image: np.ndarray
    usable: np.ndarray
    level: float
    prepared: Prepared


def crystal_of(card: NetworkCard) -> Crystal:
    """The crystal that a network was trained on.

    Raises
    ------
    StoreError
        Its card has no crystal, or no labels, whose radii are needed to find columns.
    """
    for name in ("crystal", "labels"):
        if not getattr(card, name):
            raise StoreError(f"network.json: {name!r} is empty: it cannot predict; train or export the network again")
    return Crystal.from_dict(card.crystal)


def serve(trained: nn.Module, options: PredictionOptions) -> ServedNetwork:
    """A trained network as it predicts.

    Raises
    ------
    ConfigError
        There is no such precision.
    """
    if not options.flip_average and isinstance(trained, FlipAverage):
        trained = trained.network
    return ServedNetwork(trained, options.precision)


def predict_recording(
    network: nn.Module,
    card: NetworkCard,
    recording: Recording,
    options: PredictionOptions,
    familiarity: Familiarity | None,
    name: str,
    thickness: Callable[[Film, Crystal], Thickness] | None = None,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """All frames of a recording in memory: maps and the table of columns, as ``results.in_memory`` gathers them.

    Parameters
    ----------
    network : as it was trained. name : of the network. thickness : of a film's crystal, where a fit has found it.

    Raises
    ------
    MicrographError
        No frame can be used, or the crystal's lattice is not found.
    """
    film = inspect_film(recording, crystal_of(card), card.input_pixel_pm, options, lattice=options.calibrate)
    return predict_inspected(serve(network, options), card, film, options, familiarity, name, thickness)


def predict_inspected(
    network: nn.Module,
    card: NetworkCard,
    film: Film,
    options: PredictionOptions,
    familiarity: Familiarity | None,
    name: str,
    thickness: Callable[[Film, Crystal], Thickness] | None = None,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """As ``predict_recording``, of a film that is inspected, by a network of ``serve``."""
    known = None if thickness is None else thickness(film, crystal_of(card))
    facts = film_facts(film, card, name, options, familiarity, known)
    return gathered(facts, predict_film(network, card, film, options, familiarity, known))


def film_facts(
    film: Film,
    card: NetworkCard,
    name: str,
    options: PredictionOptions,
    familiarity: Familiarity | None,
    thickness: Thickness | None = None,
) -> FilmFacts:
    """What all results say of the film. ``name`` and ``familiarity`` : of the network."""
    recording, found = film.recording, film.calibration
    distortion = {}
    if found is not None and found.elongation is not None:
        distortion = {"elongation": found.elongation, "elongation_error": found.elongation_error}
    return FilmFacts(
        source=recording.source,
        frames=range(recording.count),
        transform=film.transform,
        label_pixel_pm=card.label_pixel_pm,
        classes=card.classes,
        crystal=crystal_of(card),
        labels=card.labels,
        network={"name": name, "variant": card.variant, "classes": card.classes, "dose_lambda": list(card.doses)},
        image=recording.image,
        pixel_from=film.pixel_from,
        pixel_error_pm=None if found is None else found.pixel_error_pm,
        rotation_error_deg=None if found is None else found.rotation_error_deg,
        distortion=distortion,
        dose_from=film.dose_from,
        false_discovery=options.false_discovery,
        energy_kev=recording.energy_kev,
        exposure_s=recording.exposure_s,
        times_s=recording.times_s,
        stamp=NOT_EXPLAINED_STAMP if thickness is not None and thickness.line.startswith(NOT_EXPLAINED_STAMP) else "",
        warnings=(
            *([card.remark] if card.remark else []),
            *(NOT_KNOWN,) * (familiarity is None),
            *([] if thickness is None else [thickness.line]),
            *film.lines,
        ),
    )


def predict_film(
    network: nn.Module,
    card: NetworkCard,
    film: Film,
    options: PredictionOptions,
    familiarity: Familiarity | None,
    thickness: Thickness | None = None,
) -> Iterator[FrameResult | LostFrame]:
    """One item a frame, in their order.

    Parameters
    ----------
    network : of ``serve``.
    familiarity : of the network; without it no frame can be judged.
    thickness : of the crystal, which the network's probabilities are joined with.

    Raises
    ------
    MicrographError
        A thickness is given, and the film has no vacuum, or its lattice was not sought.
    """
    batches = ahead(_batches(prepared_frames(film), film.transform.grid_shape))
    predicted = ahead(_predicted(network, card, batches))
    sites: FilmSites | None = None
    vacuum: np.ndarray | None = None
    edge = None if thickness is None else edge_distance(film, rim_of(film))
    distance: Callable[[Sequence[int]], np.ndarray] | None = None
    crystal, unsure = crystal_of(card), []
    for batch, probabilities in predicted:
        if sites is None and len(probabilities):
            valid = [item.prepared.valid for item in batch if isinstance(item, Ready)]
            sites = FilmSites.start(
                probabilities,
                card.label_pixel_pm,
                crystal,
                card.labels,
                labels_valid(valid[0], probabilities.shape[2:], card),
                unsure.append,
            )
            shape = probabilities.shape[2:]
            vacuum = None if film.vacuum is None else on_labels(film.vacuum, shape, film, card, outside=False)
            distance = None if edge is None else partial(on_labels, edge, shape, film, card, np.nan)
        answers = iter(probabilities)
        for item in batch:
            if isinstance(item, LostFrame):
                yield item
            else:
                known = None if distance is None else partial(_joined, distance=distance, thickness=thickness)
                yield _result(
                    item, next(answers), sites, film, card, crystal, options, familiarity, vacuum, tuple(unsure), known
                )


def prepared_frames(film: Film, numbers: Iterable[int] | None = None) -> Iterator[Ready | LostFrame]:
    """Frames of these numbers, or every frame, read and brought onto the network's grid."""
    preparation: Preparation | None = None
    for number in range(film.recording.count) if numbers is None else numbers:
        try:
            electrons, masked = film.electrons_of(film.recording.read_frame(number))
            level = film.level_of(electrons, masked.usable)
        except FrameLost as lost:
            yield LostFrame(number, str(lost).rpartition("is lost: ")[2])
            continue
        if preparation is None:
            preparation = Preparation(film.transform, masked.usable, whole=film.camera.whole)
        prepared = preparation.frame(electrons, level, number, masked.usable)
        image = electrons / np.float32(level)
        if not masked.usable.all():
            image = np.where(masked.usable, image, np.float32(np.nan))
        yield Ready(number, image, masked.usable, level, prepared)


def _batches(items: Iterable[Ready | LostFrame], shape: tuple[int, int]) -> Iterator[list[Ready | LostFrame]]:
    """Frames in groups that the network takes at once."""
    size = max(1, min(MOST_BATCH, round(BATCH_PIXELS / (shape[0] * shape[1]))))
    batch: list[Ready | LostFrame] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _predicted(
    network: nn.Module, card: NetworkCard, batches: Iterable[list[Ready | LostFrame]]
) -> Iterator[tuple[list[Ready | LostFrame], np.ndarray]]:
    """Each batch, and the probabilities (frame, class, row, column) of those of its frames that are not lost."""
    for batch in batches:
        images = [item.prepared.image for item in batch if isinstance(item, Ready)]
        yield batch, predict_images(network, card, np.stack(images)) if images else np.empty((0, card.classes, 0, 0))


def labels_valid(valid: np.ndarray, shape: tuple[int, int], card: NetworkCard) -> np.ndarray:
    """Label pixels, of a map of ``shape``, at least half of whose input pixels are valid."""
    shrink = round(card.label_pixel_pm / card.input_pixel_pm)
    if shrink == 1:
        return valid[: shape[0], : shape[1]]
    padded = np.zeros((shape[0] * shrink, shape[1] * shrink))
    padded[: valid.shape[0], : valid.shape[1]] = valid
    return padded.reshape(shape[0], shrink, shape[1], shrink).mean(axis=(1, 3)) >= 0.5


def judge_frame(
    prepared: Prepared, probabilities: np.ndarray, film: Film, card: NetworkCard, familiarity: Familiarity
) -> tuple[Judgement, dict[str, float]]:
    """Whether a network knows such a frame, and the frame's features.

    Parameters
    ----------
    probabilities : (class, row, column), the answer of the network whose ``card`` and ``familiarity`` these are.
    """
    level, crystal = prepared.electrons_per_pixel, crystal_of(card)
    found = features(prepared.counts, level, probabilities, prepared.valid, crystal, card)
    if found and film.calibration is not None:
        found |= dict.fromkeys(GEOMETRY, 0.0)  # the lattice search has measured these better
    judged = familiarity.judge(found, pixel_pm=film.transform.pixel_pm, energy_kev=film.recording.energy_kev)
    return judged, found


def _result(
    ready: Ready,
    answer: np.ndarray,
    sites: FilmSites,
    film: Film,
    card: NetworkCard,
    crystal: Crystal,
    options: PredictionOptions,
    familiarity: Familiarity | None,
    vacuum: np.ndarray | None,
    lines: tuple[str, ...],
    join: Callable[..., np.ndarray] | None,
) -> FrameResult:
    """Columns and judgement of one frame. ``answer`` : of the network. ``join`` : it with a known thickness."""
    prepared = ready.prepared
    valid = labels_valid(prepared.valid, answer.shape[1:], card)
    counts = prepared.image * prepared.electrons_per_pixel  # as if each pixel were covered whole
    given = counts, prepared.electrons_per_pixel, valid, options.false_discovery, vacuum
    table, probabilities = sites.columns(answer, *given), answer
    # what is joined is searched anew: its counts move places, change tests and sets; a search takes 0.03 s
    if join is not None and len(table):
        moved = [round(by / card.label_pixel_pm) for by in reversed(sites.moved_pm)]
        probabilities = join(answer, moved=moved, columns=_columns(table, answer.shape[1:], card))
        table = sites.columns(probabilities, *given)
    table = _in_file(table, ready.usable, film)
    level, numbers, reasons = "unknown", {}, ()
    if familiarity is not None:
        judged, found = judge_frame(prepared, answer, film, card, familiarity)
        level, numbers, reasons = judged.level, {**found, "distance": judged.distance}, judged.reasons
    if not film.camera.sure and film.vacuum is not None:  # without vacuum there is a line alone: most cameras are right
        level, reasons = "outside", (CAMERA_NOT_SURE, *reasons)
    elif level == "edge":
        reasons = (AT_EDGE, *reasons)
    if table.empty:
        level = level if familiarity is None else "outside"
        reasons = (*reasons, f"no column of {crystal.title} was found")
    elif (share := float(table["at_least"].mean())) >= TOLD_SATURATED:
        have = f"may have more than {card.most_atoms}" if card.more else f"have at least {card.most_atoms}"
        reasons = (*reasons, f"{100 * share:.0f} % of the columns {have} atoms: more cannot be told apart")
    counts = np.where(prepared.valid, prepared.image, np.float32(np.nan))
    depth = probabilities.argmax(axis=0).astype(np.uint8)
    return FrameResult(
        number=ready.number,
        table=table,
        probabilities=probabilities,
        depth=depth,
        confidence=confidence_of(depth, probabilities.max(axis=0), card.classes, card.more),
        valid=valid,
        counts=counts,
        image=ready.image,
        dose_e_per_a2=film.dose_of(ready.level),
        vacuum_level=ready.level,
        familiarity=level,
        familiarity_numbers=numbers,
        lines=(*lines, *reasons),
    )


def _joined(
    answer: np.ndarray,
    *,
    distance: Callable[[Sequence[int]], np.ndarray],
    thickness: Thickness,
    moved: Sequence[int],
    columns: Columns,
) -> np.ndarray:
    """An answer with the thickness known at distances (y, x) from the edge, which has ``moved`` by (y, x) pixels."""
    return joined(answer, distance(moved), thickness, columns)


def _columns(table: pd.DataFrame, shape: tuple[int, int], card: NetworkCard) -> Columns:
    """The columns of a table on a map of ``shape``."""
    y, x = (table[f"{axis}_pm"].to_numpy() / card.label_pixel_pm for axis in "yx")
    return columns_on(y, x, min(card.labels["core_radius_pm"].values()) / card.label_pixel_pm, shape)


def _in_file(table: pd.DataFrame, usable: np.ndarray, film: Film) -> pd.DataFrame:
    """A table in the file's coordinates, less what lies outside of the frame or under its mask."""
    transform = film.transform
    x, y = transform.inverse(table["x_pm"].to_numpy(float), table["y_pm"].to_numpy(float))
    i, j, here = transform.pixels_at(x, y)
    here[here] &= usable[i[here], j[here]]
    return table.assign(x_pm=x, y_pm=y, reliable=True)[here].reset_index(drop=True)
