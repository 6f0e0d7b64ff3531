"""Which files belong to a name of the configuration. Shards are listed from the plan's size, never by globbing."""

GPU = 1 if cfg.device == "cuda" else 0
"""GPUs that a job asks a cluster for; `device: auto` takes one if the machine has it, and asks for none."""

LIGHT_DEVICE = "cpu" if cfg.device == "cpu" else "auto"
"""For rules that ask for no GPU, since they need none: what the machine they land on has."""


FIGURES = ["fig1_depth", "fig3_simulation", "fig4_smoothing", "fig5_weights", "fig6_confusion", "fig7_calibration"]


def shard_numbers(specimen):
    return [f"{number:03d}" for number in range(cfg.specimens[specimen].shards)]


def wave_shards(dataset):
    d = cfg.datasets[dataset]
    return [f"data/waves/{d.specimen}/{d.beam}/shard-{n}.zarr" for n in shard_numbers(d.specimen)]


def image_shards(dataset):
    d = cfg.datasets[dataset]
    return [f"data/images/{d.specimen}/{d.beam}/{d.imaging}/shard-{n}.zarr" for n in shard_numbers(d.specimen)]


def depth_shards(dataset):
    d = cfg.datasets[dataset]
    return [f"data/depth/{d.specimen}/{d.labels}/shard-{n}.zarr" for n in shard_numbers(d.specimen)]


def manifests(paths):
    return [f"{path}.manifest.json" for path in paths]


def repeated(option, paths):
    return " ".join(f"{option} {path}" for path in paths)


def blocks_of(dataset):
    """The data set's blocks by kind."""
    d = cfg.datasets[dataset]
    return {
        "dataset": d,
        "specimen": cfg.specimens[d.specimen],
        "imaging": cfg.imaging[d.imaging],
        "labels": cfg.labels[d.labels],
    }


def micrograph_structure(name):
    """Index in the plan of the test structure that a simulated recording shows."""
    block = cfg.micrographs[name]
    dataset = cfg.datasets[block.dataset]
    test = dataset.structures_of("test", cfg.specimens[dataset.specimen])
    return test[block.structure % len(test)]


def micrograph_waves(name):
    dataset = cfg.datasets[cfg.micrographs[name].dataset]
    shard = micrograph_structure(name) // cfg.specimens[dataset.specimen].shard_size
    return f"data/waves/{dataset.specimen}/{dataset.beam}/shard-{shard:03d}.zarr"


def prediction_input(name):
    block = cfg.predictions[name]
    return block.input or f"data/micrographs/{block.micrograph}.npz"


def prediction_options(name):
    """The block's options as the command's."""
    block = cfg.predictions[name]
    pixel = block.pixel_pm or cfg.micrographs[block.micrograph].pixel_pm
    given = {"--pixel-pm": pixel, "--invalid": block.invalid, "--dose": block.dose}
    given |= {"--key": shlex.quote(block.key)} if block.key else {}
    given |= {"--rotation-deg": block.rotation_deg} if block.rotation_deg else {}
    options = [f"{option} {value}" for option, value in given.items() if value is not None]
    return " ".join(options + ["--flip"] * block.flip + ["--key counts"] * (block.micrograph is not None))


def figure_evaluation(field):
    """Folder of the evaluation that a figure shows; the rule is never asked for without a `figures` block."""
    return f"results/evaluation/{cfg.figures.model}/{getattr(cfg.figures, field)}" if cfg.figures else "NONE"


def tabulated():
    return [f"results/evaluation/{model}/{name}" for model, names in cfg.evaluations.items() for name in names]


def targets():
    """What `snakemake` builds when nothing is named."""
    wanted = tabulated()
    wanted += [f"results/predictions/{name}" for name in cfg.predictions]
    wanted += [f"results/figures/training_{model}.png" for model in cfg.evaluations]
    if cfg.evaluations:
        wanted.append("results/tables/table1.csv")
    if cfg.figures:
        wanted += [f"results/figures/{name}.png" for name in FIGURES]
    return wanted
