"""Films of known truth, tracks of columns in films, and how well events are found.

Only the figure of the film that the block `paper` names is a target, of the rule `paper`.
"""

from segdepth.steps.film_layout import FilmLayout

films = FilmLayout(cfg, layout)
limit_evaluations = asked(films.limit_evaluations)


wildcard_constraints:
    film="|".join(cfg.films) or "NONE",


rule record_film:
    input:
        atoms=lambda w: ancient(films.atoms(w.film)),
        manifest=lambda w: manifests([films.atoms(w.film)]),
    output:
        folder=directory("data/films/{film}"),
        manifest="data/films/{film}.manifest.json",
    params:
        blocks=lambda w: films.film_options(w.film),
        structure=lambda w: films.structure(w.film),
        most_atoms=lambda w: films.most_atoms(w.film),
        code=code_hash("record-film"),
    log:
        "logs/record_film/{film}.log",
    benchmark:
        "logs/benchmarks/record_film/{film}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "segdepth record-film {params.blocks} --structure {params.structure} --most-atoms {params.most_atoms}"
        " --atoms {input.atoms} --device {resources.device} --out {output.folder} > {log} 2>&1"


rule track_columns:
    input:
        prediction=ancient("results/predictions/{prediction}"),
        manifest="results/predictions/{prediction}.manifest.json",
    output:
        folder=directory("results/tracks/{prediction}"),
        manifest="results/tracks/{prediction}.manifest.json",
    params:
        code=code_hash("track-columns"),
    log:
        "logs/track_columns/{prediction}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
    shell:
        "segdepth track-columns --prediction {input.prediction} --out {output.folder} > {log} 2>&1"


rule measure_film:
    input:
        network=lambda w: ancient(network_of(w.model)),
        network_manifest=lambda w: manifests([network_of(w.model)]),
        recorded=ancient("data/films/{film}"),
        manifest="data/films/{film}.manifest.json",
    output:
        folder=directory("results/films/{model}/{film}"),
        manifest="results/films/{model}/{film}.manifest.json",
    params:
        film=lambda w: as_json(cfg.films[w.film]),
        code=code_hash("measure-film"),
    log:
        "logs/measure_film/{model}/{film}.log",
    benchmark:
        "logs/benchmarks/measure_film/{model}/{film}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 120 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-film --model {input.network:q} --film {params.film:q}"
        " --name {wildcards.film} --recorded {input.recorded} --device {resources.device} --out {output.folder}"
        " > {log} 2>&1"


rule tabulate_film:
    input:
        measured=ancient("results/films/{model}/{film}"),
        manifest="results/films/{model}/{film}.manifest.json",
    output:
        csv="results/tables/film_{kind}_{model}_{film}.csv",
        manifest="results/tables/film_{kind}_{model}_{film}.csv.manifest.json",
    params:
        code=code_hash("tabulate-film"),
    log:
        "logs/tabulate_film/{kind}_{model}_{film}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    wildcard_constraints:
        kind="scores|dwell|detectability",
    shell:
        "segdepth tabulate-film {wildcards.kind} --measured {input.measured} --out {output.csv} > {log} 2>&1"


rule plot_film:
    input:
        measured=ancient("results/films/{model}/{film}"),
        manifest="results/films/{model}/{film}.manifest.json",
    output:
        png=report(
            "results/figures/{kind}_{model}_{film}.png",
            caption="../report/figure.rst",
            category="Films",
            labels={"film": "{film}", "shows": "{kind} of {model}"},
        ),
        pdf="results/figures/{kind}_{model}_{film}.pdf",
        manifests=manifests(["results/figures/{kind}_{model}_{film}.png", "results/figures/{kind}_{model}_{film}.pdf"]),
    params:
        caption=lambda w: FIGURES[w.kind].caption,
        code=code_hash("plot-film"),
    log:
        "logs/plot_film/{kind}_{model}_{film}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    wildcard_constraints:
        kind="|".join(figures_from("film")),
    shell:
        "segdepth plot-film {wildcards.kind} --measured {input.measured} --out {output.png} > {log} 2>&1"
