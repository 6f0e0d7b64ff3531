"""Films of known truth, tracks of columns in films, and how well events are found: not among the default targets."""

from segdepth.steps.film_layout import FilmLayout

films = FilmLayout(cfg, layout)


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
