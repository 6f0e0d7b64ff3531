"""Films, tracks, sets and limits in the real DAG: which jobs they need."""

from __future__ import annotations

import pytest
import yaml

from .conftest import TINY

pytestmark = pytest.mark.workflow

BLOCKS = {
    "films": {"surface": {"dataset": "small", "frames": 20, "dose_lambda": [1, 10]}},
    "prediction_sets": {"promise": {"calibration": "small", "tests": ["small_lambda1", "small_soft"]}},
    "limit_maps": {"thin": {"dataset": "small", "structures": 1, "columns": 1}},
}


def test_films_sets_and_limits_are_made_on_request_only(new_project):
    project = new_project("films", **BLOCKS)
    rules = {"record_film", "measure_film", "plot_film", "track_columns", "measure_sets", "map_limits"}
    assert not rules & set(project.jobs())
    wanted = ["fig12_film_net_surface.png", "film_scores_net_surface.png", "limit_map_thin.png", "limits_net_small.png"]
    tables = [f"results/tables/film_{kind}_net_surface.csv" for kind in ("scores", "dwell", "detectability")]
    jobs = project.jobs(
        *tables,
        *(f"results/figures/{name}" for name in wanted),
        "results/sets/net/promise.csv",
        "results/tracks/camera",
    )
    one = {"record_film": 1, "measure_film": 1, "plot_film": 2, "tabulate_film": 3, "track_columns": 1}
    one |= {"measure_sets": 1, "map_limits": 1, "plot_limit_map": 1, "tabulate_limits": 1, "plot_limits": 1}
    one |= {"predict_micrograph": 1}
    assert jobs.items() >= one.items()
    assert jobs["evaluate_model"] == 2  # of both doses


def test_a_limit_without_the_networks_evaluation_is_refused_in_one_line(new_project):
    project = new_project("lacking", **BLOCKS)
    done = project.snakemake("-n", "results/figures/limits_net_small_soft.png")
    assert done.returncode != 0 and "evaluations.net must list 'small_soft'" in done.stdout + done.stderr


def test_blocks_that_lead_nowhere_are_refused(new_project):
    project = new_project("nowhere", films={"surface": {"dataset": "large"}})
    done = project.snakemake("-n")
    assert done.returncode == 2 and "films.surface.dataset: no block is called 'large'" in done.stderr


def test_figure_12_is_among_the_figures_of_the_paper(new_project):
    """Of the film that the block names, followed by the network of every dose, or else by that of Table II."""
    models = yaml.safe_load(TINY)["models"]
    models |= {"both": models["net"] | {"task": "denoise_and_depth"}, "every": models["net"]}
    names = ("widths", "dose_widths", "dose_trained")
    paper = {"dataset": "small", "segmentation": "net", "denoised": "both", "joint": "both", "film": "surface"}
    paper |= {"confusion_dataset": "small_lambda1", "dose_datasets": ["small"], **{name: ["net"] for name in names}}
    for block, model in ((paper, "net"), (paper | {"every_dose": "every"}, "every")):
        project = new_project(f"paper-{model}", models=models, films=BLOCKS["films"], paper=block)
        jobs = project.jobs("paper")
        assert jobs.items() >= {"record_film": 1, "measure_film": 1, "plot_film": 1, "plot_gradients": 1}.items()
        figure = f"results/figures/fig12_film_{model}_surface.png"
        done = project.snakemake("-n", "paper")
        assert figure in done.stdout and "film_scores" not in done.stdout
    lost = new_project("paper-lost", models=models, films=BLOCKS["films"], paper=paper | {"film": "bulk"})
    done = lost.snakemake("-n")
    assert done.returncode == 2 and "paper.film: no block is called 'bulk'; there are surface" in done.stderr
