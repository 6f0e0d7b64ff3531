"""The files that belong to each name of the configuration, for the workflow's rules.

Paths are relative to the project's folder. Shards are listed from the number of structures, never by globbing. An error
that concerns some targets only raises ``ConfigError``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from segdepth.config import (
    RESERVED,
    Beam,
    Block,
    Comparison,
    ComparisonOptions,
    Config,
    CrystalBlock,
    Dataset,
    Imaging,
    Labels,
    LensFitBlock,
    LensFitOptions,
    Prediction,
    PredictionOptions,
    Reading,
    Specimen,
)
from segdepth.crystals import known_structures
from segdepth.errors import ConfigError
from segdepth.figures.registry import FIGURES, figures_from
from segdepth.networks.bundled import bundled_network, check_bundled_on
from segdepth.store.manifest import SUFFIX

BENCHMARKS = ("benchmark_smooth", "benchmark_rough")
"""Data sets of the benchmark's figure; it shows the ideal observer of the last one."""


def manifests(paths: Iterable[str]) -> list[str]:
    return [f"{path}{SUFFIX}" for path in paths]


def repeated(option: str, paths: Iterable[object]) -> str:
    """``option path`` for each path, as one text for a shell."""
    return " ".join(f"{option} {shlex.quote(str(path))}" for path in paths)


def distinct(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(paths))


def _from_here(path: Path) -> str:
    """A path, relative if it lies in the project's folder: the folder may be moved."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class Layout:
    """The files of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._json: dict[int, str] = {}
        self._shards: dict[str, list[str]] = {}

    def as_json(self, block: Block) -> str:
        """A block on one line; computed once."""
        known = self._json.get(id(block))
        if known is None:
            known = self._json[id(block)] = block.as_json()
        return known

    # shards

    def shard_numbers(self, specimen: str) -> list[str]:
        return [f"{number:03d}" for number in range(self.config.specimens[specimen].shards)]

    def _all_shards(self, folder: str, specimen: str, suffix: str) -> list[str]:
        if folder not in self._shards:
            self._shards[folder] = [f"{folder}/shard-{n}{suffix}" for n in self.shard_numbers(specimen)]
        return self._shards[folder]

    def plan_of(self, dataset: str) -> str:
        return f"data/specimens/{self.config.datasets[dataset].specimen}/plan.csv"

    def atoms_shards(self, dataset: str) -> list[str]:
        d = self.config.datasets[dataset]
        return self._all_shards(f"data/specimens/{d.specimen}", d.specimen, ".extxyz")

    def wave_shards(self, dataset: str) -> list[str]:
        d = self.config.datasets[dataset]
        return self._all_shards(f"data/waves/{d.specimen}/{d.beam}", d.specimen, ".zarr")

    def image_shards(self, dataset: str) -> list[str]:
        d = self.config.datasets[dataset]
        return self._all_shards(f"data/images/{d.specimen}/{d.beam}/{d.imaging}", d.specimen, ".zarr")

    def depth_shards(self, dataset: str) -> list[str]:
        d = self.config.datasets[dataset]
        return self._all_shards(f"data/depth/{d.specimen}/{d.labels}", d.specimen, ".zarr")

    # crystals, data sets and structures

    def crystal_of(self, specimen: str) -> CrystalBlock:
        return self.config.crystals[self.config.specimens[specimen].crystal]

    def structure_file(self, specimen: str) -> list[str]:
        """The file that a specimen's crystal is read from; none where its structure comes with the package."""
        structure = self.crystal_of(specimen).structure
        return [] if structure in known_structures() else [structure]

    def blocks_of(self, dataset: str) -> dict[str, Dataset | Specimen | Imaging | Labels]:
        """The data set's blocks by kind."""
        d = self.config.datasets[dataset]
        return {
            "dataset": d,
            "specimen": self.config.specimens[d.specimen],
            "imaging": self.config.imaging[d.imaging],
            "labels": self.config.labels[d.labels],
        }

    def test_structure(self, dataset: str, number: int) -> int:
        """Index in the plan of a data set's test structure, counted from 0; numbers beyond the last wrap around."""
        d = self.config.datasets[dataset]
        test = d.structures_of("test", self.config.specimens[d.specimen])
        return test[number % len(test)]

    def shard_of(self, shards: list[str], dataset: str, number: int) -> str:
        """Of all shards of a data set that which holds a test structure."""
        specimen = self.config.specimens[self.config.datasets[dataset].specimen]
        return shards[self.test_structure(dataset, number) // specimen.shard_size]

    def waves_of(self, dataset: str, number: int) -> str:
        """Shard that holds a test structure's waves."""
        return self.shard_of(self.wave_shards(dataset), dataset, number)

    # networks

    def network_of(self, model: str) -> str:
        """Folder of a model's network; the bundled ones are in the package.

        Raises
        ------
        ConfigError
            No such network comes with this version of the package.
        """
        if model not in RESERVED:
            return f"results/models/{model}"
        try:
            return _from_here(bundled_network(model))
        except ConfigError as failure:
            raise ConfigError(f"model {model!r}: {failure}") from None

    def evaluated_network(self, model: str, dataset: str) -> str:
        """Folder of a network that is measured on a data set.

        Raises
        ------
        ConfigError
            A bundled network does not fit the data set, or was trained on its structures.
        """
        if model in RESERVED:
            check_bundled_on(self.config, f"results/evaluation/{model}/{dataset}", dataset, model)
        return self.network_of(model)

    def training_shards(self, model: str, shards_of: Callable[[str], list[str]]) -> list[str]:
        """The shards of all data sets that a model is trained on, one data set after another."""
        return [path for name in self.config.models[model].datasets for path in shards_of(name)]

    def familiar_shards(self, model: str) -> list[str]:
        """Images over what a network has learnt, of structures that it has not seen.

        Raises
        ------
        ConfigError
            The configuration names no data sets for it.
        """
        names = self.config.familiarity.get(model, ())
        if not names:
            raise ConfigError(f"familiarity: has no data sets for the model {model!r}")
        return distinct(path for name in names for path in self.image_shards(name))

    def init_weights_of(self, model: str) -> list[str]:
        """Folder of the network that a training begins with, or that denoises its images, if there is one."""
        return list(self.config.models[model].starts_from)

    def training_options(self, model: str) -> str:
        """The blocks of a model's data sets as the command's options."""
        return " ".join(
            f"--{kind} {shlex.quote(self.as_json(block))}"
            for name in self.config.models[model].datasets
            for kind, block in self.blocks_of(name).items()
        )

    def exported_evaluations(self) -> list[str]:
        """Evaluations that the bundled network's card reports.

        Raises
        ------
        ConfigError
            The configuration has no block ``export``.
        """
        if self.config.export is None:
            raise ConfigError("export: config.yaml has no such block; give it a model and card_datasets")
        return [f"results/evaluation/{self.config.export.model}/{name}" for name in self.config.export.card_datasets]

    # micrographs

    def micrograph_structure(self, name: str) -> int:
        block = self.config.micrographs[name]
        return self.test_structure(block.dataset, block.structure)

    def micrograph_waves(self, name: str) -> str:
        block = self.config.micrographs[name]
        return self.waves_of(block.dataset, block.structure)

    def comparison_waves(self, name: str) -> str:
        block = self.config.comparisons[name]
        return self.waves_of(block.dataset, block.structure)

    def adapted_from(self, name: str) -> list[str]:
        """The lens fit of an adaptation, and the folder of the network that is tuned."""
        block = self.config.adaptations[name]
        return [f"results/lens_fits/{block.lens_fit}.json", self.network_of(block.model)]

    def adaptation_input(self, name: str) -> str:
        """File of the micrograph that a network is adapted to."""
        return self.micrograph_input(self.config.lens_fits[self.config.adaptations[name].lens_fit])

    def adaptation_options(self, name: str) -> str:
        """An adaptation's options for a shell; the micrograph is read as for its lens fit."""
        block = self.config.adaptations[name]
        fit = self.config.lens_fits[block.lens_fit]
        read = self.micrograph_options(fit)
        options = PredictionOptions(**{key: getattr(read, key) for key in Reading.model_fields})
        given = ["--prediction", options.as_json(), "--minutes", f"{block.minutes:g}"]
        given += ["--crystal", self.as_json(self.config.crystals[fit.crystal])]
        return shlex.join([*given, "--force"] if block.force else given)

    def micrograph_input(self, block: Prediction | Comparison | LensFitBlock) -> str:
        """File of a prediction or comparison."""
        return block.input or f"data/micrographs/{block.micrograph}.npz"

    def micrograph_options(
        self, block: Prediction | Comparison | LensFitBlock
    ) -> PredictionOptions | ComparisonOptions | LensFitOptions:
        """The options of a prediction or comparison."""
        return block.options(self.config.micrographs[block.micrograph].pixel_pm if block.micrograph else None)

    def lens_fit_options(self, name: str) -> LensFitOptions:
        """The options of a fit of the lens; a simulated recording's voltage is its beam's."""
        block = self.config.lens_fits[name]
        options = self.micrograph_options(block)
        if block.micrograph is None or options.energy_kev is not None:
            return options
        beam = self.config.datasets[self.config.micrographs[block.micrograph].dataset].beam
        return options.model_copy(update={"energy_kev": self.config.beams[beam].energy_kev})

    def comparison_structure(self, name: str) -> int:
        """Index in the plan of the structure that is shown."""
        block = self.config.comparisons[name]
        return self.test_structure(block.dataset, block.structure)

    # figures and tables

    def figure_evaluation(self, figure: str) -> str:
        """Folder of the evaluation that a figure is drawn from.

        Raises
        ------
        ConfigError
            The configuration has no block ``figures``.
        """
        block = self.config.figures
        if block is None:
            raise ConfigError(f"results/figures/{figure}.png: config.yaml has no block figures, which names its data")
        return f"results/evaluation/{block.model}/{getattr(block, FIGURES[figure].dataset_field)}"

    def montage_shards(self) -> dict[str, str]:
        """The files of the montage's first shard; ``NONE`` without ``figures.montage_dataset``."""
        if not (self.config.figures and self.config.figures.montage_dataset):
            return dict.fromkeys(("plan", "atoms", "depth", "images"), "NONE")
        name = self.config.figures.montage_dataset
        shards = {
            "atoms": self.atoms_shards(name),
            "depth": self.depth_shards(name),
            "images": self.image_shards(name),
        }
        return {"plan": self.plan_of(name), **{kind: paths[0] for kind, paths in shards.items()}}

    def tabulated(self) -> list[str]:
        return [
            f"results/evaluation/{model}/{name}" for model, names in self.config.evaluations.items() for name in names
        ]

    def table_evaluations(self, name: str) -> list[str]:
        """Evaluations that a table of networks reads, each once."""
        rows = self.config.tables[name].rows
        return distinct(f"results/evaluation/{model}/{row.dataset}" for row in rows for model in row.models)

    def table_models(self, name: str) -> list[str]:
        """Trained networks of a table, which shows their training time."""
        rows = self.config.tables[name].rows
        return distinct(f"results/models/{model}" for row in rows for model in row.models if model not in RESERVED)

    def table_observers(self, name: str) -> list[str]:
        """Ideal observers that a table shows."""
        rows = self.config.tables[name].rows
        return distinct(f"results/ideal_observer/{row.ideal_observer}" for row in rows if row.ideal_observer)

    def yardstick_folders(self, model: str) -> list[str]:
        """Every yardstick of the configuration that is for a network, measured with it.

        Raises
        ------
        ConfigError
            The configuration has none.
        """
        found = [name for name, block in self.config.yardsticks.items() if not block.models or model in block.models]
        if not found:
            raise ConfigError("yardsticks: config.yaml has no such blocks; workflow/presets/yardsticks.yaml has some")
        return [f"results/yardsticks/{model}/{name}" for name in found]

    def yardstick_observers(self) -> list[str]:
        """The ideal observers that stand in a table of yardsticks."""
        observed = [name for name, block in self.config.yardsticks.items() if block.observed_columns]
        return [f"results/yardstick_observers/{name}" for name in observed]

    def benchmark_datasets(self, model: str) -> tuple[str, ...]:
        """The data sets of a network's benchmark figure.

        Raises
        ------
        ConfigError
            The configuration lacks one of them.
        """
        missing = [name for name in BENCHMARKS if name not in self.config.datasets]
        if missing:
            raise ConfigError(
                f"results/figures/benchmark_{model}.png: shows the data sets {' and '.join(BENCHMARKS)}; "
                f"config.yaml has no {missing[0]!r} among its datasets"
            )
        return BENCHMARKS

    def benchmark_evaluations(self, model: str) -> list[str]:
        return [f"results/evaluation/{model}/{name}" for name in self.benchmark_datasets(model)]

    def benchmark_observer(self, model: str) -> str:
        return f"results/ideal_observer/{self.benchmark_datasets(model)[-1]}"

    def targets(self) -> list[str]:
        """The default targets of ``snakemake``."""
        config, wanted = self.config, self.tabulated()
        wanted += [f"results/predictions/{name}" for name in config.predictions]
        wanted += [f"results/comparisons/{name}" for name in config.comparisons]
        wanted += [f"results/lens_fits/{name}.json" for name in config.lens_fits]
        wanted += [f"results/figures/lens_fit_{name}.png" for name in config.lens_fits]
        wanted += [f"results/figures/prediction_{name}.png" for name in config.predictions]
        wanted += [f"results/figures/comparison_{name}.png" for name in config.comparisons]
        trained = [model for model, names in config.evaluations.items() if names and model not in RESERVED]
        wanted += [f"results/figures/training_{model}.png" for model in trained]
        if self.tabulated():
            wanted.append("results/tables/table1.csv")
        if config.figures:
            wanted += [f"results/figures/{name}.png" for name in figures_from("evaluation")]
            wanted += ["results/figures/montage.png"] if config.figures.montage_dataset else []
        return wanted

    # the convergence study

    @cached_property
    def _study(self) -> dict[str, Beam | Imaging]:
        from segdepth.simulation.convergence.checks import check_study  # imports torch: only where needed

        study = self.config.convergence
        if study is None:
            raise ConfigError("convergence: config.yaml has no such block; give it the name of a dataset")
        d = self.config.datasets[study.dataset]
        beam, imaging = self.config.beams[d.beam], self.config.imaging[d.imaging]
        check_study(beam=beam, imaging=imaging, beam_key=f"beams.{d.beam}", imaging_key=f"imaging.{d.imaging}")
        return {"beam": beam, "imaging": imaging}

    def study_blocks(self) -> dict[str, Beam | Imaging]:
        """Beam and imaging block of the convergence study.

        Raises
        ------
        ConfigError
            There is no study in the configuration, or it cannot be made with these blocks.
        """
        return self._study

    def study_atoms(self) -> str:
        self.study_blocks()
        study = self.config.convergence
        return self.atoms_shards(study.dataset)[study.shard]
