"""Which files belong to a name of the configuration. Shards are listed from the plan's size, never by globbing."""

GPU = 1 if cfg.device == "cuda" else 0
"""GPUs that a job asks a cluster for; `device: auto` takes one if the machine has it, and asks for none."""

LIGHT_DEVICE = "cpu" if cfg.device == "cpu" else "auto"
"""For rules that ask for no GPU, since they need none: what the machine they land on has."""


FIGURES = ["fig1_depth", "fig3_simulation", "fig4_smoothing", "fig5_weights", "fig6_confusion", "fig7_calibration"]


BENCHMARKS = ["benchmark_smooth", "benchmark_rough"]
"""Data sets of the benchmark's figure; it shows the limit of the last one."""


def shard_numbers(specimen):
    return [f"{number:03d}" for number in range(cfg.specimens[specimen].shards)]


def atoms_shards(dataset):
    d = cfg.datasets[dataset]
    return [f"data/specimens/{d.specimen}/shard-{n}.extxyz" for n in shard_numbers(d.specimen)]


def plan_of(dataset):
    return f"data/specimens/{cfg.datasets[dataset].specimen}/plan.csv"


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


def network_of(model):
    """Folder of a model's network; `shipped` is the package's own, which no rule makes on the way."""
    if model != BUNDLED:
        return f"results/models/{model}"
    try:
        return str(bundled_network())
    except ConfigError as failure:
        refuse(f"model {BUNDLED!r}: {failure}")


def judged_network(model, dataset):
    """Folder of a network that is measured on a data set; whether the package's own fits is asked here."""
    if model == BUNDLED:
        try:
            check_bundled_on(cfg, f"results/evaluation/{BUNDLED}/{dataset}", dataset)
        except ConfigError as failure:
            refuse(failure)
    return network_of(model)


def exported_evaluations():
    """What the shipped network's card reports."""
    if cfg.export is None:
        refuse("shipped: config.yaml has no such block; give it a model and card_datasets")
    return [f"results/evaluation/{cfg.export.model}/{name}" for name in cfg.export.card_datasets]


def training_shards(model, shards_of):
    """The shards of every data set that a model learns from, behind each other; `shards_of` is one of those above."""
    return [path for name in cfg.models[model].datasets for path in shards_of(name)]


def init_weights_of(model):
    """Folder of the network that a training begins with, if there is one."""
    return [cfg.models[model].init_weights] if cfg.models[model].init_weights else []


def training_options(model):
    """The blocks of a model's data sets as the command's options."""
    options = [
        f"--{kind} {shlex.quote(block.as_json())}"
        for name in cfg.models[model].datasets
        for kind, block in blocks_of(name).items()
    ]
    return " ".join(options)


def distinct(paths):
    return list(dict.fromkeys(paths))


def test_structure(dataset, number):
    """Index in the plan of one of a data set's test structures; numbers beyond the last begin anew."""
    d = cfg.datasets[dataset]
    test = d.structures_of("test", cfg.specimens[d.specimen])
    return test[number % len(test)]


def waves_of(dataset, number):
    """Shard that holds a test structure's waves."""
    d = cfg.datasets[dataset]
    shard = test_structure(dataset, number) // cfg.specimens[d.specimen].shard_size
    return f"data/waves/{d.specimen}/{d.beam}/shard-{shard:03d}.zarr"


def micrograph_structure(name):
    block = cfg.micrographs[name]
    return test_structure(block.dataset, block.structure)


def micrograph_waves(name):
    block = cfg.micrographs[name]
    return waves_of(block.dataset, block.structure)


def comparison_waves(name):
    block = cfg.comparisons[name]
    return waves_of(block.dataset, block.structure)


def micrograph_input(block):
    """File of a prediction or comparison."""
    return block.input or f"data/micrographs/{block.micrograph}.npz"


def micrograph_options(block):
    """How a prediction's or comparison's micrograph is to be read, as the command's options."""
    pixel = block.pixel_pm or cfg.micrographs[block.micrograph].pixel_pm
    given = {"--pixel-pm": pixel, "--invalid": block.invalid, "--dose": block.dose}
    given |= {"--key": shlex.quote(block.key)} if block.key else {}
    given |= {"--rotation-deg": block.rotation_deg} if block.rotation_deg else {}
    options = [f"{option} {value}" for option, value in given.items() if value is not None]
    return " ".join(options + ["--flip"] * block.flip + ["--key counts"] * (block.micrograph is not None))


def comparison_options(name):
    """The block's options as the command's."""
    block = cfg.comparisons[name]
    options = [micrograph_options(block), f"--structure {test_structure(block.dataset, block.structure)}"]
    options += [f"--frame {block.frame}"] if block.frame else []
    options += [f"--defocus-nm {block.defocus_nm}"] if block.defocus_nm is not None else []
    return " ".join(options)


def figure_evaluation(field):
    """Folder of the evaluation that a figure shows; the rule is never asked for without a `figures` block."""
    return f"results/evaluation/{cfg.figures.model}/{getattr(cfg.figures, field)}" if cfg.figures else "NONE"


def montage_shards():
    """The files of the montage's first shard; the rule is never asked for without `figures.montage_dataset`."""
    if not (cfg.figures and cfg.figures.montage_dataset):
        return dict.fromkeys(("plan", "atoms", "depth", "images"), "NONE")
    name = cfg.figures.montage_dataset
    folder = f"data/specimens/{cfg.datasets[name].specimen}"
    shards = {"depth": depth_shards(name)[0], "images": image_shards(name)[0]}
    return {"plan": f"{folder}/plan.csv", "atoms": f"{folder}/shard-000.extxyz", **shards}


def tabulated():
    return [f"results/evaluation/{model}/{name}" for model, names in cfg.evaluations.items() for name in names]


def table_evaluations(name):
    """Evaluations that a table of networks reads, each once."""
    rows = cfg.tables[name].rows
    return distinct(f"results/evaluation/{model}/{row.dataset}" for row in rows for model in row.models)


def table_models(name):
    """Trained networks that a table tells the training time of; the package's own has none here."""
    return distinct(f"results/models/{m}" for row in cfg.tables[name].rows for m in row.models if m != BUNDLED)


def benchmark_datasets(model):
    """The data sets of a network's benchmark figure."""
    missing = [name for name in BENCHMARKS if name not in cfg.datasets]
    if missing:
        refuse(
            f"results/figures/benchmark_{model}.png: shows the data sets {' and '.join(BENCHMARKS)}; "
            f"config.yaml has no {missing[0]!r} among its datasets"
        )
    return BENCHMARKS


def benchmark_evaluations(model):
    return [f"results/evaluation/{model}/{name}" for name in benchmark_datasets(model)]


def benchmark_limit(model):
    return f"results/ideal_observer/{benchmark_datasets(model)[-1]}"


def table_limits(name):
    return distinct(f"results/ideal_observer/{row.limit}" for row in cfg.tables[name].rows if row.limit)


def targets():
    """What `snakemake` builds when nothing is named."""
    wanted = tabulated()
    wanted += [f"results/predictions/{name}" for name in cfg.predictions]
    wanted += [f"results/comparisons/{name}" for name in cfg.comparisons]
    wanted += [f"results/figures/training_{m}.png" for m, names in cfg.evaluations.items() if names and m != BUNDLED]
    if tabulated():
        wanted.append("results/tables/table1.csv")
    if cfg.figures:
        wanted += [f"results/figures/{name}.png" for name in FIGURES]
        wanted += ["results/figures/montage.png"] if cfg.figures.montage_dataset else []
    return wanted


def study_blocks():
    """Beam and imaging block of the convergence study."""
    from segdepth.simulation.convergence.limits import check_study  # brings torch: only where it is asked for

    if cfg.convergence is None:
        refuse("convergence: config.yaml has no such block; give it the name of a dataset")
    d = cfg.datasets[cfg.convergence.dataset]
    blocks = {"beam": cfg.beams[d.beam], "imaging": cfg.imaging[d.imaging]}
    try:
        check_study(**blocks, beam_key=f"beams.{d.beam}", imaging_key=f"imaging.{d.imaging}")
    except ConfigError as failure:
        refuse(failure)
    return blocks


def study_atoms():
    study_blocks()
    specimen = cfg.datasets[cfg.convergence.dataset].specimen
    return f"data/specimens/{specimen}/shard-{cfg.convergence.shard:03d}.extxyz"
