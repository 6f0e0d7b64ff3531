"""The command ``segdepth``: one verb a rule. Thin: it reads options, calls one job, and tells errors in one line.

A block of the configuration is given as ``FILE:NAME`` (``config.yaml:wedge``) or as JSON, as rules hand it over.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from segdepth import __version__
from segdepth.config import (
    Beam,
    Block,
    ConfigError,
    Dataset,
    Imaging,
    Labels,
    Micrograph,
    Model,
    Specimen,
    Table,
    check_files,
    json_schema,
    load_config,
    validate,
)
from segdepth.store.code import code_hash

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Atom counts behind every pixel of a noisy electron micrograph. "
    "The whole chain runs with `snakemake --cores N`; each verb below is one of its steps.",
)

SECTIONS = {
    Specimen: "specimens",
    Beam: "beams",
    Imaging: "imaging",
    Labels: "labels",
    Dataset: "datasets",
    Model: "models",
    Micrograph: "micrographs",
    Table: "tables",
}
BLOCK_HELP = "block: FILE:NAME (config.yaml:NAME) or JSON"

Out = Annotated[Path, typer.Option("--out", help="what is written, with a manifest beside it")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda")]
Seed = Annotated[int, typer.Option("--root-seed", min=0, help="the config's root_seed")]
Name = Annotated[str, typer.Option("--name", help="name of the block; part of every structure's seed")]
SpecimenName = Annotated[str, typer.Option("--specimen-name", help="name of the specimen block, part of every seed")]
BlockText = Annotated[str, typer.Option(help=BLOCK_HELP)]
BlockTexts = Annotated[list[str], typer.Option(help=f"{BLOCK_HELP}; once for each data set")]
Paths = Annotated[list[Path], typer.Option(help="one for each shard, in order; repeat the option")]


def read_block(kind: type[Block], text: str) -> Any:
    """A block from ``FILE:NAME`` or from JSON."""
    option = kind.__name__.lower()
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except ValueError as failure:
            raise ConfigError(f"--{option}: is not valid JSON ({failure})") from None
        return validate(kind, data, f"--{option}")
    file, _, name = text.rpartition(":")
    if not file:
        raise ConfigError(f"--{option}: got {text!r}; allowed: FILE:NAME or JSON")
    blocks = getattr(load_config(file), SECTIONS[kind])
    if name not in blocks:
        known = ", ".join(blocks) or "none"
        raise ConfigError(f"--{option}: {file} has no {SECTIONS[kind]} block {name!r}; it has {known}")
    return blocks[name]


@app.command("plan-specimens")
def plan_specimens(specimen: BlockText, name: Name, out: Out, root_seed: Seed = 0) -> None:
    """Draw what each structure is to be: one row of plan.csv a structure. Removes shards of another shard size."""
    from segdepth.specimen.plan import plan_specimens as job

    removed = job(read_block(Specimen, specimen), name, root_seed, out, code_hash("segdepth.specimen.plan"))
    if removed:
        typer.echo(f"removed {len(removed)} files and folders of another shard size, the first is {removed[0]}")


@app.command("build-specimens")
def build_specimens(
    specimen: BlockText,
    name: Name,
    plan: Annotated[Path, typer.Option(help="plan.csv")],
    shard: Annotated[int, typer.Option(min=0, help="number of the shard")],
    out: Out,
    root_seed: Seed = 0,
) -> None:
    """Build the atoms of one shard of a plan (extxyz, Å)."""
    from segdepth.specimen.build import build_specimens as job

    block = read_block(Specimen, specimen)
    job(block, name, root_seed, shard, plan, out, code_hash("segdepth.specimen.build"))


@app.command("simulate-waves")
def simulate_waves(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")], beam: BlockText, out: Out, device: Device = "auto"
) -> None:
    """Multislice: the exit waves of a shard of atoms, as Fourier coefficients (Zarr)."""
    from segdepth.simulation.waves import simulate_waves as job

    job(read_block(Beam, beam), atoms, out, code_hash("segdepth.simulation.waves"), device)


@app.command("form-images")
def form_images(
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves")],
    imaging: BlockText,
    specimen_name: SpecimenName,
    out: Out,
    root_seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Images of a shard of exit waves at every defocus of an imaging block, without noise (Zarr)."""
    import torch

    from segdepth.simulation.images import form_images as job

    torch.set_num_threads(1)
    block = read_block(Imaging, imaging)
    job(block, specimen_name, root_seed, waves, out, code_hash("segdepth.simulation.images"), device)


@app.command("project-depth")
def project_depth(atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")], labels: BlockText, out: Out) -> None:
    """Depth maps, loss weights and the column table of a shard of atoms (Zarr)."""
    from segdepth.labels.depth import project_depth as job

    job(read_block(Labels, labels), atoms, out, code_hash("segdepth.labels.depth"))


@app.command("record-micrograph")
def record_micrograph(
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr that holds the structure")],
    micrograph: BlockText,
    imaging: BlockText,
    dataset: BlockText,
    structure: Annotated[int, typer.Option(min=0, help="index of the structure in the plan")],
    out: Out,
    root_seed: Seed = 0,
) -> None:
    """Record a simulated micrograph in electron counts with a camera pixel of its own (npz)."""
    from segdepth.simulation.micrograph import record_micrograph as job

    joined = read_block(Dataset, dataset)
    job(
        read_block(Micrograph, micrograph), read_block(Imaging, imaging), joined.dose_lambda, joined.specimen,
        root_seed, structure, waves, out, code_hash("segdepth.simulation.micrograph"),
    )  # fmt: skip


@app.command("train-model")
def train_model(
    name: Name,
    model: BlockText,
    dataset: BlockTexts,
    specimen: BlockTexts,
    imaging: BlockTexts,
    labels: BlockTexts,
    waves: Paths,
    depth: Paths,
    out: Out,
    checkpoints: Annotated[Path, typer.Option(help="folder for checkpoints; a stopped training goes on from there")],
    root_seed: Seed = 0,
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads")] = None,
) -> None:
    """Train a network on freshly formed images; resumes where it was stopped. Several data sets are given one after
    the other: their blocks in the same order, and their shards behind each other."""
    from segdepth.learning.lessons import join_lessons
    from segdepth.learning.training import train_model as job

    blocks = ((Dataset, dataset), (Specimen, specimen), (Imaging, imaging), (Labels, labels))
    job(
        name=name,
        model=read_block(Model, model),
        lessons=join_lessons(*([read_block(kind, text) for text in texts] for kind, texts in blocks), waves, depth),
        root_seed=root_seed,
        out=out,
        checkpoints=checkpoints,
        code=code_hash("segdepth.learning.training"),
        device=device,
        threads=threads,
    )


@app.command("evaluate-model")
def evaluate_model(
    model: Annotated[Path, typer.Option(help="folder of the trained network")],
    dataset: BlockText,
    specimen: BlockText,
    dataset_name: Annotated[str, typer.Option(help="name of the dataset block")],
    images: Paths,
    depth: Paths,
    out: Out,
    root_seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure a network on the test structures of a data set: metrics, confusion, calibration, columns."""
    from segdepth.evaluation.evaluate import evaluate_model as job

    joined = read_block(Dataset, dataset)
    job(
        model=model,
        images=images,
        depth=depth,
        structures=joined.structures_of("test", read_block(Specimen, specimen)),
        dataset=joined,
        dataset_name=dataset_name,
        specimen_name=joined.specimen,
        root_seed=root_seed,
        out=out,
        code=code_hash("segdepth.evaluation.evaluate"),
        device=device,
    )


@app.command("estimate-limit")
def estimate_limit(
    dataset: BlockText,
    specimen: BlockText,
    beam: BlockText,
    imaging: BlockText,
    dataset_name: Annotated[str, typer.Option(help="name of the dataset block")],
    plan: Annotated[Path, typer.Option(help="plan.csv")],
    atoms: Paths,
    out: Out,
    root_seed: Seed = 0,
    columns: Annotated[int, typer.Option(min=1, help="columns of each element in each test structure")] = 2,
    device: Device = "auto",
) -> None:
    """The physical limit of counting single columns in a data set's test structures, and what neighbours alone tell."""
    import torch

    from segdepth.evaluation.limit_job import estimate_limit as job

    torch.set_num_threads(1)
    job(
        dataset=read_block(Dataset, dataset),
        dataset_name=dataset_name,
        specimen=read_block(Specimen, specimen),
        beam=read_block(Beam, beam),
        imaging=read_block(Imaging, imaging),
        plan=plan,
        atoms=atoms,
        root_seed=root_seed,
        out=out,
        code=code_hash("segdepth.evaluation.limit_job"),
        device=device,
        columns=columns,
    )


@app.command("ship-model")
def ship_model(
    model: Annotated[Path, typer.Option(help="folder of the trained network")],
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation for its card; repeat for more")],
    out: Out,
) -> None:
    """Make the network that comes with the package: float16 weights, its card, and MODEL_CARD.md."""
    from segdepth.evaluation.shipping import ship_model as job

    job(model, evaluation, out, code_hash("segdepth.evaluation.shipping"))


FIGURES = {
    "plot-fig1": ("fig1_depth", "Figure 1: depth, noisy image, estimate and confidence."),
    "plot-fig3": ("fig3_simulation", "Figure 3: depth maps and images with and without noise."),
    "plot-fig4": ("fig4_smoothing", "Figure 4: projected counts beside smoothed depth."),
    "plot-fig5": ("fig5_weights", "Figure 5: the weights of the training loss."),
    "plot-fig6": ("fig6_confusion", "Figure 6: the confusion matrix."),
    "plot-fig7": ("fig7_calibration", "Figure 7: confidence against accuracy."),
}


def _figure_verb(verb: str, module: str, text: str) -> None:
    def draw(evaluation: Annotated[Path, typer.Option(help="folder of an evaluation")], out: Out) -> None:
        from importlib import import_module

        name = f"segdepth.figures.{module}"
        import_module(name).plot(evaluation, out, code_hash(name))

    draw.__doc__ = f"{text} Writes PNG and PDF from a stored evaluation."
    app.command(verb)(draw)


for _verb, (_module, _text) in FIGURES.items():
    _figure_verb(_verb, _module, _text)


@app.command("plot-montage")
def plot_montage(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")],
    plan: Annotated[Path, typer.Option(help="plan.csv that the atoms were built from")],
    depth: Annotated[Path, typer.Option(help="shard-NNN.zarr of depth maps of the same atoms")],
    images: Annotated[Path, typer.Option(help="shard-NNN.zarr of images of the same atoms")],
    out: Out,
) -> None:
    """Atomic models, thickness maps and images of a shard's structures side by side. Writes PNG and PDF."""
    from segdepth.figures.montage import plot

    plot(atoms, plan, depth, images, out, code_hash("segdepth.figures.montage"))


@app.command("plot-training")
def plot_training(model: Annotated[Path, typer.Option(help="folder of the trained network")], out: Out) -> None:
    """The training curve: losses, centre accuracy, learning rate. Writes PNG and PDF."""
    from segdepth.figures.training_curve import plot

    plot(model, out, code_hash("segdepth.figures.training_curve"))


@app.command("tabulate-table1")
def tabulate_table1(
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for more rows")], out: Out
) -> None:
    """Our networks beside the paper's Table I. Writes CSV and LaTeX."""
    from segdepth.figures.table1 import tabulate

    tabulate(evaluation, out, code_hash("segdepth.figures.table1"))


@app.command("tabulate-networks")
def tabulate_networks(
    table: BlockText,
    out: Out,
    evaluations_root: Annotated[Path, typer.Option(help="holds <model>/<dataset>")] = Path("results/evaluation"),
    models_root: Annotated[Path, typer.Option(help="holds <model>")] = Path("results/models"),
    limits_root: Annotated[Path, typer.Option(help="holds <dataset>")] = Path("results/limits"),
) -> None:
    """Networks side by side, with what was aimed for, as a block of `tables` asks. Writes CSV and Markdown."""
    from segdepth.evaluation.side_by_side import Folders
    from segdepth.figures.networks_table import tabulate

    folders = Folders(evaluations_root, models_root, limits_root)
    tabulate(read_block(Table, table), folders, out, code_hash("segdepth.figures.networks_table"))


@app.command("plot-benchmark")
def plot_benchmark(
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for up to four")],
    out: Out,
    limit: Annotated[Path | None, typer.Option(help="folder of estimate-limit")] = None,
) -> None:
    """Columns counted exactly, by true count and by defocus, beside the best that is possible. Writes PNG and PDF."""
    from segdepth.figures.benchmark import plot

    plot(evaluation, limit, out, code_hash("segdepth.figures.benchmark"))


@app.command("predict")
def predict(
    input: Annotated[Path, typer.Argument(help="micrograph: .npy, .npz or .tif, counts of one frame or of a movie")],
    out: Out,
    model: Annotated[
        Path | None, typer.Option(help="folder of a trained network; without it, the one that comes with the package")
    ] = None,
    pixel_pm: Annotated[float | None, typer.Option(help="side of the micrograph's pixel in pm")] = None,
    key: Annotated[str | None, typer.Option(help="array name inside an .npz file")] = None,
    invalid: Annotated[float | None, typer.Option(help="value of masked pixels")] = None,
    rotation_deg: Annotated[
        float,
        typer.Option(
            help="turn counter-clockwise (row 0 at the bottom), so that [001] runs along x and the vacuum is at +y"
        ),
    ] = 0.0,
    flip: Annotated[bool, typer.Option(help="mirror the frame along x before it is turned")] = False,
    dose: Annotated[float | None, typer.Option(help="vacuum level, counts per pixel, where no vacuum is found")] = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32 or bfloat16; auto is bfloat16 where the machine multiplies it fast")
    ] = "auto",
    once: Annotated[
        bool, typer.Option("--once", help="look at each frame once: half the time of a network that is mirrored")
    ] = False,
) -> None:
    """Atom counts behind every pixel of a micrograph: prediction.zarr, columns.csv, prediction.png."""
    from segdepth.figures.prediction import draw_prediction
    from segdepth.inference.predict import predict_micrograph as job
    from segdepth.learning.shipped import shipped_network

    warnings = job(
        input,
        out,
        pixel_pm=pixel_pm,
        model=model or shipped_network(),
        key=key,
        invalid=invalid,
        rotation_deg=rotation_deg,
        flip=flip,
        dose=dose,
        device=device,
        precision=precision,
        once=once,
        code=code_hash("segdepth.inference.predict"),
        draw=draw_prediction,
    )
    for line in warnings:
        typer.echo(f"warning: {line}", err=True)


@app.command("study-convergence")
def study_convergence(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")],
    beam: BlockText,
    imaging: BlockText,
    out: Out,
    structure: Annotated[
        list[int] | None,
        typer.Option(min=0, help="index in the plan; repeat for more; without it the thickest and the middle one"),
    ] = None,
    phonons: Annotated[int, typer.Option(min=0, max=200, help="snapshots to compare with; 0 leaves that out")] = 16,
    checkpoints: Annotated[Path | None, typer.Option(help="folder of finished waves; a stopped study goes on")] = None,
) -> None:
    """Image error and time of grids, slices, potentials, apertures and focal averages, around a beam and an imaging
    block, against 2048², 16.7 pm slabs, float64 and explicit averaging (CSV). One core, half an hour. The lens needs
    fixed values, the beam no tilt."""
    from segdepth.simulation.convergence.study import study_convergence as job

    job(
        read_block(Beam, beam),
        read_block(Imaging, imaging),
        atoms,
        structure or [],
        out,
        code_hash("segdepth.simulation.convergence.study"),
        phonons=phonons,
        checkpoints=checkpoints,
    )


@app.command("plot-convergence")
def plot_convergence(table: Annotated[Path, typer.Option(help="the CSV of study-convergence")], out: Out) -> None:
    """The convergence study as a picture. Writes PNG and PDF."""
    from segdepth.figures.convergence import plot

    plot(table, out, code_hash("segdepth.figures.convergence"))


@app.command("compare-micrograph")
def compare_micrograph(
    input: Annotated[Path, typer.Argument(help="micrograph: .npy, .npz or .tif, counts of one frame or of a movie")],
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves; all its structures make the range")],
    imaging: BlockText,
    specimen_name: SpecimenName,
    structure: Annotated[int, typer.Option(min=0, help="index in the plan of the structure that is shown")],
    out: Out,
    pixel_pm: Annotated[float | None, typer.Option(help="side of the micrograph's pixel in pm")] = None,
    key: Annotated[str | None, typer.Option(help="array name inside an .npz file")] = None,
    frame: Annotated[int, typer.Option(min=0, help="which frame of a movie, from 0")] = 0,
    invalid: Annotated[float | None, typer.Option(help="value of masked pixels")] = None,
    rotation_deg: Annotated[
        float,
        typer.Option(
            help="turn counter-clockwise (row 0 at the bottom), so that [001] runs along x and the vacuum is at +y"
        ),
    ] = 0.0,
    flip: Annotated[bool, typer.Option(help="mirror the frame along x before it is turned")] = False,
    dose: Annotated[float | None, typer.Option(help="vacuum level, counts per pixel, where no vacuum is found")] = None,
    defocus_nm: Annotated[
        float | None,
        typer.Option(help="which of the imaging block's defoci is shown; without it, the one whose cells are nearest"),
    ] = None,
    lattice_pm: Annotated[float, typer.Option(min=500, max=600, help="lattice constant to hold peaks against")] = 541.1,
    root_seed: Seed = 0,
) -> None:
    """Hold a micrograph against the simulation at its pixel and dose: Fourier peaks, vacuum, column contrast.

    Both are measured in the same way, the simulation at every defocus of the imaging block. Writes comparison.json,
    simulated.csv, comparison.zarr, comparison.png and .pdf.
    """
    import torch

    from segdepth.figures.comparison import draw_comparison
    from segdepth.inference.comparison import compare_micrograph as job

    torch.set_num_threads(1)
    warnings = job(
        input,
        out,
        waves=waves,
        imaging=read_block(Imaging, imaging),
        specimen_name=specimen_name,
        structure=structure,
        pixel_pm=pixel_pm,
        lattice_pm=lattice_pm,
        key=key,
        frame=frame,
        invalid=invalid,
        rotation_deg=rotation_deg,
        flip=flip,
        dose=dose,
        defocus_nm=defocus_nm,
        root_seed=root_seed,
        code=code_hash("segdepth.inference.comparison"),
        draw=draw_comparison,
    )
    for line in warnings:
        typer.echo(f"warning: {line}", err=True)


@app.command("trace")
def trace(
    file: Annotated[Path, typer.Argument(help="any figure, table, store or file inside one")],
    full: Annotated[bool, typer.Option("--full", help="print whole parameter blocks and all seeds")] = False,
) -> None:
    """Print the chain behind a file back to plan, seeds, parameters, versions and commit; exit 1 if it is broken."""
    from segdepth.store.trace import describe
    from segdepth.store.trace import trace as follow

    chain = follow(file)
    typer.echo(describe(chain, full=full))
    if chain.broken:
        raise typer.Exit(1)


@app.command("check-config")
def check_config(config: Annotated[Path, typer.Argument(help="the configuration file")] = Path("config.yaml")) -> None:
    """Check a configuration file; one line says what is wrong."""
    from segdepth.learning.shipped import check_shipped
    from segdepth.simulation.grid import check_grids

    checked = load_config(config)
    check_files(checked)
    check_grids(checked)
    check_shipped(checked)
    typer.echo(f"{config}: fine")


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of config.yaml, with defaults and limits."""
    typer.echo(json_schema(), nl=False)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"segdepth {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Run; a user's mistake is one line on stderr and exit status 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (ConfigError, OSError) as failure:
        _refuse(str(failure))
    except typer.Abort:
        sys.exit(130)
    except ValueError as failure:
        from segdepth.store.zarr_store import is_damaged_chunk

        if not is_damaged_chunk(failure):
            raise
        _refuse("a chunk of a store that is read is damaged; `segdepth trace STORE` finds it")
    except Exception as failure:
        if not hasattr(failure, "format_message"):  # what all usage errors have; their class is not public
            raise
        if not sys.argv[1:]:
            failure.show()  # without a verb: the help
            sys.exit(2)
        _refuse(f"{failure.format_message()} (see --help)")


def _refuse(text: str) -> NoReturn:
    sys.stderr.write(f"segdepth: error: {' '.join(text.split())}\n")
    sys.exit(2)
