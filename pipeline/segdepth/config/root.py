"""The whole of ``config.yaml``: names must lead to blocks, and blocks that are used together must fit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from segdepth.config.adaptation import Adaptation
from segdepth.config.beam import Beam
from segdepth.config.block import Block
from segdepth.config.convergence import Convergence
from segdepth.config.crystal import CrystalBlock
from segdepth.config.data_format import DataFormat
from segdepth.config.dataset import Dataset
from segdepth.config.fields import NETWORK_STRIDE, RESERVED, Count, Name, check_whole_pixels
from segdepth.config.figures import Figures
from segdepth.config.film import Film
from segdepth.config.generalization import Generalization, check_tuned, check_untuned
from segdepth.config.imaging import Imaging
from segdepth.config.labels import Labels
from segdepth.config.lens_fit import LensFitBlock
from segdepth.config.limits import LimitMap, PredictionSets
from segdepth.config.micrograph import Comparison, Micrograph, Prediction
from segdepth.config.model import Export, Model, beginnings
from segdepth.config.paper import PAPER_ITEMS, Paper
from segdepth.config.specimen import Specimen
from segdepth.config.tables import Table, check_ideal_observer, check_observed, check_row
from segdepth.config.trainable import DatasetBlocks, check_trainable
from segdepth.config.yardsticks import Yardstick

TAKEN_TABLES = ("table1", "study_convergence", "paper", *PAPER_ITEMS)
"""Names in ``results/tables/`` that other rules write whatever the configuration holds."""

FILM_TABLES = ("scores", "dwell", "detectability")
"""Kinds of the tables ``results/tables/film_<kind>_<model>_<film>.csv``."""


def need(key: str, name: str, among: Collection[str]) -> None:
    """Raise if there is no block of this name."""
    if name not in among:
        raise ValueError(f"{key}: no block is called {name!r}; there are {', '.join(among) or 'none'}")


class Config(Block):
    """The whole of ``config.yaml``."""

    root_seed: Annotated[Count, Field(ge=0, lt=2**63)] = Field(0, description="seed of all random draws of the data")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU if there is one")
    crystals: dict[Name, CrystalBlock] = Field(description="structures and their orientation")
    specimens: dict[Name, Specimen] = Field(description="atomic models")
    beams: dict[Name, Beam] = Field(description="illumination and multislice")
    imaging: dict[Name, Imaging] = Field(description="lens, camera, pixel")
    labels: dict[Name, Labels] = Field(description="depth maps")
    datasets: dict[Name, Dataset] = Field(description="one block of each kind, a dose, and shares of the structures")
    models: dict[Name, Model] = Field(description="networks and how they are trained")
    evaluations: dict[Name, tuple[Name, ...]] = Field({}, description="by model, the datasets it is measured on")
    familiarity: dict[Name, tuple[Name, ...]] = Field(
        {},
        description="by model, datasets over the ranges it was trained on, to compare micrographs with; made on "
        "request only",
    )
    figures: Figures | None = Field(None, description="data of the paper's figures")
    micrographs: dict[Name, Micrograph] = Field({}, description="simulated recordings, for predictions and comparisons")
    predictions: dict[Name, Prediction] = Field({}, description="micrographs to predict")
    lens_fits: dict[Name, LensFitBlock] = Field(
        {}, description="micrographs to which lens, tilt and thickness are fitted"
    )
    adaptations: dict[Name, Adaptation] = Field(
        {}, description="networks tuned to a micrograph by its lens fit; made on request only"
    )
    comparisons: dict[Name, Comparison] = Field({}, description="micrographs to compare with the simulation")
    tables: dict[Name, Table] = Field(
        {}, description="networks side by side: results/tables/<name>.csv; made on request only"
    )
    yardsticks: dict[Name, Yardstick] = Field(
        {},
        description="simulated recordings that networks are measured on, read and calibrated like a user's file; "
        "made on request only",
    )
    films: dict[Name, Film] = Field(
        {}, description="simulated films whose surface columns gain and lose atoms; made on request only"
    )
    prediction_sets: dict[Name, PredictionSets] = Field(
        {}, description="sets of counts with a guaranteed coverage; made on request only"
    )
    limit_maps: dict[Name, LimitMap] = Field(
        {}, description="where to record: the ideal observer over lens, dose and vibration; made on request only"
    )
    generalization: dict[Name, Generalization] = Field(
        {}, description="networks measured under each other's conditions; made on request only"
    )
    paper: Paper | None = Field(
        None, description="networks and datasets of `snakemake paper`: every table and figure of the paper"
    )
    convergence: Convergence | None = Field(None, description="the convergence study; made on request only")
    export: Export | None = Field(None, description="the network to put into the package; made on request only")

    @model_validator(mode="after")
    def _joins(self) -> Config:
        for name, specimen in self.specimens.items():
            need(f"specimens.{name}.crystal", specimen.crystal, self.crystals)
        for name, dataset in self.datasets.items():
            here = f"datasets.{name}"
            need(f"{here}.specimen", dataset.specimen, self.specimens)
            need(f"{here}.beam", dataset.beam, self.beams)
            need(f"{here}.imaging", dataset.imaging, self.imaging)
            need(f"{here}.labels", dataset.labels, self.labels)
            self._check_dataset(here, dataset)
        for name in RESERVED:
            if name in self.models:
                raise ValueError(f"models.{name}: this name is reserved for a network of the package; choose another")
        for name, model in self.models.items():
            for dataset in model.datasets:
                need(f"models.{name}.datasets", dataset, self.datasets)
            self._check_model(f"models.{name}", model)
        for name, datasets in self.evaluations.items():
            self._need_model(f"evaluations.{name}", name)
            self._check_evaluations(f"evaluations.{name}", name, datasets)
        for name, datasets in self.familiarity.items():
            self._need_model(f"familiarity.{name}", name)
            self._check_evaluations(f"familiarity.{name}", name, datasets)
        for name, micrograph in self.micrographs.items():
            here = f"micrographs.{name}"
            need(f"{here}.dataset", micrograph.dataset, self.datasets)
            specimen = self.specimens[self.datasets[micrograph.dataset].specimen]
            check_whole_pixels(f"{here}.pixel_pm", micrograph.pixel_pm, specimen.field_pm, specimen.margin_pm)
            self._check_test_part(here, micrograph.dataset)
        for name, prediction in self.predictions.items():
            self._check_prediction(f"predictions.{name}", prediction)
        for name, fit in self.lens_fits.items():
            need(f"lens_fits.{name}.crystal", fit.crystal, self.crystals)
            if fit.micrograph is not None:
                need(f"lens_fits.{name}.micrograph", fit.micrograph, self.micrographs)
        for name, adaptation in self.adaptations.items():
            here = f"adaptations.{name}"
            need(f"{here}.lens_fit", adaptation.lens_fit, self.lens_fits)
            self._need_model(f"{here}.model", adaptation.model)
            if (recorded := self.lens_fits[adaptation.lens_fit].micrograph) is not None:
                self._check_unseen(here, adaptation.model, self.micrographs[recorded].dataset)
        for name, comparison in self.comparisons.items():
            here = f"comparisons.{name}"
            need(f"{here}.dataset", comparison.dataset, self.datasets)
            if comparison.micrograph is not None:
                need(f"{here}.micrograph", comparison.micrograph, self.micrographs)
            self._check_test_part(here, comparison.dataset)
            self._check_shown_defocus(here, comparison)
        for name, yardstick in self.yardsticks.items():
            need(f"yardsticks.{name}.dataset", yardstick.dataset, self.datasets)
            self._check_test_part(f"yardsticks.{name}", yardstick.dataset)
            for model in yardstick.models:
                self._need_model(f"yardsticks.{name}.models", model)
        self._check_films_and_limits()
        for name, matrix in self.generalization.items():
            self._check_generalization(f"generalization.{name}", matrix)
        if self.paper is not None:
            self._check_paper(self.paper)
        if self.convergence is not None:
            need("convergence.dataset", self.convergence.dataset, self.datasets)
            self._check_study(self.convergence)
        if self.export is not None:
            need("export.model", self.export.model, self.models)
            self._check_evaluations("export.card_datasets", self.export.model, self.export.card_datasets)
        self._check_tables()
        if self.figures is not None:
            self._need_model("figures.model", self.figures.model)
            if self.figures.montage_dataset is not None:
                need("figures.montage_dataset", self.figures.montage_dataset, self.datasets)
            for field in ("dataset", "confusion_dataset"):
                name = getattr(self.figures, field)
                need(f"figures.{field}", name, self.datasets)
                if name not in self.evaluations.get(self.figures.model, ()):
                    raise ValueError(
                        f"figures.{field}: evaluations.{self.figures.model} must list {name!r} for a figure to show it"
                    )
        return self

    def _taken_tables(self) -> set[str]:
        """Names in ``results/tables/`` that other rules write, whether they are asked to or not."""
        models = (*self.models, *RESERVED)
        return {
            *TAKEN_TABLES,
            *(f"film_{kind}_{model}_{film}" for kind in FILM_TABLES for model in models for film in self.films),
            *(f"generalization_{name}" for name in self.generalization),
            *(f"limits_{model}_{dataset}" for model in models for dataset in self.datasets),
            *(f"yardsticks_{model}" for model in models),
        }

    def _check_films_and_limits(self) -> None:
        for name, film in self.films.items():
            need(f"films.{name}.dataset", film.dataset, self.datasets)
            self._check_test_part(f"films.{name}", film.dataset)
        measured = [(f"limit_maps.{name}.dataset", block.dataset) for name, block in self.limit_maps.items()]
        for name, sets in self.prediction_sets.items():
            measured.append((f"prediction_sets.{name}.calibration", sets.calibration))
            measured += [(f"prediction_sets.{name}.tests", dataset) for dataset in sets.tests]
        for key, dataset in measured:
            need(key, dataset, self.datasets)
            self._check_test_part(key, dataset)

    def _check_generalization(self, here: str, matrix: Generalization) -> None:
        for cell in matrix.cells:
            key = f"{here} ({cell.network} on {cell.dataset})"
            need(key, cell.network, self.models)
            self._check_evaluations(key, cell.network, (cell.dataset,))
            block = self.models[cell.network]
            if cell.began_with is not None:
                check_tuned(key, cell, block.init_weights, block.datasets)
            else:
                before = beginnings(block, self.models)
                learnt = {cell.network: block.datasets} | {path.name: b.datasets for path, b in before if b is not None}
                check_untuned(key, cell, matrix.networks[cell.network].trained_on, learnt)

    def _check_paper(self, paper: Paper) -> None:
        for model, dataset in paper.other_datasets.items():
            key = f"paper.other_datasets.{model}"
            if model not in paper.compared:
                raise ValueError(
                    f"{key}: is no network of Tables I and II or of Figs. 7 and 8; allowed: {', '.join(paper.compared)}"
                )
            need(key, dataset, self.datasets)
            self._check_test_part(key, dataset)
        for item in PAPER_ITEMS:
            for model, dataset in paper.measured(item):
                self._need_model(f"paper ({item})", model)
                self._check_evaluations(f"paper ({item})", model, (dataset,))
        for role, found in (("denoised", self.models.get(paper.denoised)), ("joint", self.models.get(paper.joint))):
            if found is None or not (found.denoiser or found.task == "denoise_and_depth"):
                raise ValueError(f"paper.{role}: got {getattr(paper, role)!r}, a network that denoises is needed")
        if paper.bound is not None:
            self._check_bound("paper.bound", paper.bound, paper.dataset)
        if paper.film is not None:
            need("paper.film", paper.film, self.films)
            self._check_unseen("paper.film", paper.film_model, self.films[paper.film].dataset)
        if self.figures is not None:
            ((model, confusion),), ((_, dataset),) = paper.measured("fig6"), paper.measured("fig7")
            for key, needed in (("model", model), ("dataset", dataset), ("confusion_dataset", confusion)):
                if (got := getattr(self.figures, key)) != needed:
                    raise ValueError(
                        f"figures.{key}: got {got!r}; allowed: {needed!r}, of which the block paper makes the "
                        "tables of Figs. 6 and 7"
                    )

    def _check_bound(self, here: str, name: str, measured: str) -> None:
        """An ideal observer of what ``measured`` shows."""
        need(here, name, self.datasets)
        self._check_test_part(here, name)
        mine, other = (self.datasets[each].model_dump(exclude={"dose_lambda", "splits"}) for each in (name, measured))
        if differs := [key for key in mine if mine[key] != other[key]]:
            raise ValueError(
                f"{here}: got {name!r}, whose {differs[0]} is not that of {measured!r}; it may differ in dose_lambda "
                "and splits only"
            )
        dataset = self.datasets[name]
        check_observed(here, name, dataset, self.specimens[dataset.specimen], self.beams[dataset.beam])

    def _check_prediction(self, here: str, prediction: Prediction) -> None:
        self._need_model(f"{here}.model", prediction.model)
        if prediction.micrograph is not None:
            need(f"{here}.micrograph", prediction.micrograph, self.micrographs)
            self._check_unseen(here, prediction.model, self.micrographs[prediction.micrograph].dataset)
        if prediction.lens_fit is None:
            return
        need(f"{here}.lens_fit", prediction.lens_fit, self.lens_fits)
        fitted = self.lens_fits[prediction.lens_fit]
        if (fitted.input, fitted.micrograph) != (prediction.input, prediction.micrograph):
            raise ValueError(
                f"{here}.lens_fit: {prediction.lens_fit!r} is the fit of {fitted.input or fitted.micrograph!r}, "
                f"not of {prediction.input or prediction.micrograph!r}"
            )

    def _need_model(self, here: str, name: str) -> None:
        """The name must be a models block, or that of a network of the package; it must count."""
        need(here, name, (*self.models, *RESERVED))
        if name not in RESERVED and self.models[name].task == "denoise":
            raise ValueError(f"{here}: got {name!r}, whose task is denoise; give a network that counts")

    def _check_evaluations(self, here: str, model: str, datasets: tuple[str, ...]) -> None:
        if len(set(datasets)) < len(datasets):
            raise ValueError(f"{here}: names a data set twice: {', '.join(datasets)}")
        for name in datasets:
            need(here, name, self.datasets)
            self._check_evaluation(here, model, name)

    def _check_tables(self) -> None:
        taken = self._taken_tables()
        for name, table in self.tables.items():
            if name in taken:
                raise ValueError(f"tables.{name}: results/tables/{name}.csv is another table; give it another name")
            self._check_table(f"tables.{name}", table)

    def _check_table(self, table_key: str, table: Table) -> None:
        for row in table.rows:
            here = f"{table_key} ({row.label})"
            name, key = row.ideal_observer or row.dataset, "ideal_observer" if row.ideal_observer else "dataset"
            need(f"{here}.{key}", name, self.datasets)
            dataset = self.datasets[name]
            if row.ideal_observer:
                self._check_test_part(here, name)
                check_ideal_observer(here, row, dataset, self.specimens[dataset.specimen], self.beams[dataset.beam])
            for model in row.models:
                self._need_model(f"{here}.models", model)
                self._check_evaluation(here, model, name)
            check_row(here, row, table, self.models, self.labels[dataset.labels].core_radius_pm)

    def _check_dataset(self, here: str, dataset: Dataset) -> None:
        specimen, beam = self.specimens[dataset.specimen], self.beams[dataset.beam]
        imaging, labels = self.imaging[dataset.imaging], self.labels[dataset.labels]
        if imaging.aperture_mrad > beam.stored_angle_mrad:
            raise ValueError(
                f"imaging.{dataset.imaging}.aperture_mrad: got {imaging.aperture_mrad:g}; at most "
                f"beams.{dataset.beam}.stored_angle_mrad ({beam.stored_angle_mrad:g}) is stored"
            )
        check_whole_pixels(
            f"imaging.{dataset.imaging}.pixel_pm", imaging.pixel_pm, specimen.field_pm, specimen.margin_pm
        )
        check_whole_pixels(f"labels.{dataset.labels}.pixel_pm", labels.pixel_pm, specimen.field_pm, specimen.margin_pm)

    def _check_test_part(self, here: str, name: str) -> None:
        dataset = self.datasets[name]
        specimen = self.specimens[dataset.specimen]
        if not dataset.structures_of("test", specimen):
            raise ValueError(
                f"datasets.{name}.splits.test: got {dataset.splits.test:g}, which leaves none of the "
                f"{specimen.structures} structures; {here} needs at least one"
            )

    def _check_study(self, study: Convergence) -> None:
        dataset = self.datasets[study.dataset]
        specimen = self.specimens[dataset.specimen]
        if study.shard >= specimen.shards:
            raise ValueError(
                f"convergence.shard: got {study.shard}; the specimen has shards 0 to {specimen.shards - 1}"
            )
        first = study.shard * specimen.shard_size
        last = min(first + specimen.shard_size, specimen.structures) - 1
        outside = [index for index in study.structures if not first <= index <= last]
        if outside:
            raise ValueError(f"convergence.structures: got {outside[0]}; shard {study.shard} has {first} to {last}")

    def _check_shown_defocus(self, here: str, comparison: Comparison) -> None:
        imaging = self.datasets[comparison.dataset].imaging
        values = self.imaging[imaging].defocus_values_nm
        if comparison.defocus_nm is not None and min(abs(v - comparison.defocus_nm) for v in values) > 1e-6:
            raise ValueError(
                f"{here}.defocus_nm: got {comparison.defocus_nm:g}; imaging.{imaging} has "
                f"{', '.join(f'{value:g}' for value in values)}"
            )

    def _check_evaluation(self, here: str, model: str, name: str) -> None:
        """Test structures must be unseen, and their pixels those of the network.

        A bundled network's card is read by ``networks.bundled.check_bundled`` instead.
        """
        self._check_test_part(here, name)
        measured = self.datasets[name]
        if model not in RESERVED:
            self._check_reads(here, model, name)
        specimen = self.specimens[measured.specimen]
        side = round(specimen.field_pm / self.imaging[measured.imaging].pixel_pm)
        if side % NETWORK_STRIDE:
            raise ValueError(
                f"{here}: the field of {name!r} has {side} pixels a side; a multiple of {NETWORK_STRIDE} is needed"
            )
        self._check_unseen(here, model, name)

    def _check_reads(self, here: str, model: str, name: str) -> None:
        trained, measured = (self.datasets[each] for each in (self.models[model].datasets[0], name))
        formats = [DataFormat.of(self.imaging[each.imaging], self.labels[each.labels]) for each in (measured, trained)]
        if difference := formats[0].difference(formats[1]):
            raise ValueError(f"{here}: data set {name!r} does not fit the network {model!r}: {difference}")

    def _check_unseen(self, here: str, model: str, name: str) -> None:
        if model in RESERVED:
            return
        measured = self.datasets[name]
        specimen = self.specimens[measured.specimen]
        for other in (self.datasets[dataset] for dataset in self.models[model].datasets):
            if other.specimen != measured.specimen:
                continue
            seen = set(other.structures_seen(specimen))
            both = sorted(seen & set(measured.structures_of("test", specimen)))
            if both:
                raise ValueError(
                    f"{here}: {len(both)} test structures of {name!r} are among those that {model!r} is trained or "
                    f"validated on (the first is {both[0]}); give both data sets the same share of test structures"
                )

    def _check_model(self, here: str, model: Model) -> None:
        check_trainable(here, model, [self._blocks(self.datasets[name]) for name in model.datasets])

    def _blocks(self, dataset: Dataset) -> DatasetBlocks:
        return DatasetBlocks(
            dataset, self.specimens[dataset.specimen], self.imaging[dataset.imaging], self.labels[dataset.labels]
        )
