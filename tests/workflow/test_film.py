"""Films, tracks, sets and limits in the real DAG: which jobs they need."""

from __future__ import annotations

import pytest

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
    jobs = project.jobs(
        *(f"results/figures/{name}" for name in wanted), "results/sets/net/promise.csv", "results/tracks/camera"
    )
    one = {"record_film": 1, "measure_film": 1, "plot_film": 2, "track_columns": 1, "measure_sets": 1}
    one |= {"map_limits": 1, "plot_limit_map": 1, "tabulate_limits": 1, "plot_limits": 1, "predict_micrograph": 1}
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
