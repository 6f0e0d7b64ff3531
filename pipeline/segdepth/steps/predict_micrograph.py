"""The step ``predict-micrograph``: a micrograph and a network in, a folder of results out.

What the folder holds: ``segdepth.micrograph.results``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from segdepth.config import PredictionOptions
from segdepth.devices import shared_cores, torch_device
from segdepth.errors import MicrographError
from segdepth.figures.prediction import draw
from segdepth.figures.style import write_picture
from segdepth.fitting.known_thickness import known_thickness
from segdepth.fitting.result import read_lens_fit
from segdepth.micrograph.choice import inspect_and_choose, load_candidates
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.overlap import ahead
from segdepth.micrograph.predict import crystal_of, film_facts, predict_film
from segdepth.micrograph.results.facts import LostFrame
from segdepth.micrograph.results.maps import STORE, empty_maps
from segdepth.micrograph.results.reading import read_picture
from segdepth.micrograph.results.writing import ResultWriter
from segdepth.networks.bundled import network_folders
from segdepth.steps.pictures import is_simulated
from segdepth.store.manifest import check_target, check_whole, manifest_path, write_artefact
from segdepth.store.zarr_store import write_zarr

COMMAND = "predict-micrograph"
PICTURE = "prediction.png"


def predict_micrograph(
    prediction: PredictionOptions,
    source: Path,
    model: str | Path | None,
    out: Path,
    *,
    familiarity: Path | None = None,
    lens: Path | None = None,
    code: str = "unknown",
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[str, ...]:
    """Predict a micrograph or film; each frame by itself.

    Parameters
    ----------
    prediction : how the micrograph is read and predicted.
    source : a file of ``segdepth.micrograph.files``.
    model : folder of a trained network, or the name of a bundled one; None: that of the bundled ones which knows such
        frames best.
    out : folder that is made, or replaced where it is an earlier prediction.
    familiarity : what the network has learnt, of ``measure_familiarity``; that of the bundled networks is known. Given
        without a model it is the first one's.
    lens : JSON file of ``fit_lens`` on this film, whose thickness the network's counts are joined with.
    code : hash of the code, for the manifest.
    device : ``auto``, ``cpu`` or ``cuda``.
    tell : called with each line for the user as soon as it is known.

    Returns
    -------
    All lines for the user, what is not reliable first; they are in the results too.

    Raises
    ------
    SegDepthError
        Anything wrong with the input, before anything is written.
    """
    where = torch_device(device)
    folders = network_folders(model)
    for folder in folders:
        if manifest_path(folder).exists():  # a network that came from elsewhere has none
            check_whole(folder, ("train-model", "export-model"))
    check_target(out, COMMAND, [source, *folders, *([lens] if lens else [])])
    fit = None if lens is None else read_lens_fit(lens)
    candidates = load_candidates(folders, prediction, where, familiarity)
    with open_recording(source, prediction.image) as recording, shared_cores():
        film, chosen = inspect_and_choose(recording, candidates, prediction, tell=tell)
        network, card, learnt = chosen.network, chosen.card, chosen.familiarity
        inputs = [source, chosen.folder, *(each for each in (familiarity, lens) if each)]
        known = None if fit is None else known_thickness(film, crystal_of(card), fit=fit, name=lens)
        facts = film_facts(film, card, chosen.name, prediction, learnt, known)
        items = ahead(predict_film(network, card, film, prediction, learnt, known))
        first, *_ = started = [next(items)]
        while isinstance(started[-1], LostFrame):
            following = next(items, None)
            if following is None:
                raise MicrographError(f"{source}: no frame can be used; {first.reason}")
            started.append(following)
        parameters = {**prediction.parameters, "bfloat16": network.half}
        notes = {"device": str(where)}
        with write_artefact(
            out, command=COMMAND, code=code, inputs=inputs, parameters=parameters, notes=notes
        ) as partial:
            partial.mkdir()
            maps = empty_maps(facts, started[-1].depth.shape, file_grid=prediction.file_grid)
            write_zarr(maps, partial / STORE, leading=("frame",), parameters=parameters, compute=False)
            writer = ResultWriter(partial, facts)
            with tqdm(total=recording.count, desc=f"depth of {source.name}", unit="frame") as bar:
                for item in chain(started, items):
                    if isinstance(item, LostFrame):
                        writer.lose(item.number, item.reason)
                    else:
                        writer.put(item)
                    bar.update()
            lines = writer.close()
            write_picture(draw(read_picture(partial), is_simulated(source)), partial / PICTURE)
    return lines
