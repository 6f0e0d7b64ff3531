"""Sets with a promised coverage, and the limits of what can be counted: not among the default targets."""


wildcard_constraints:
    sets="|".join(cfg.prediction_sets) or "NONE",
    limit_map="|".join(cfg.limit_maps) or "NONE",


rule measure_sets:
    input:
        network=lambda w: ancient(network_of(w.model)),
        network_manifest=lambda w: manifests([network_of(w.model)]),
        images=lambda w: ancient(films.sets_shards(w.sets, image_shards)),
        depth=lambda w: ancient(films.sets_shards(w.sets, depth_shards)),
        manifests=lambda w: manifests(films.sets_shards(w.sets, image_shards) + films.sets_shards(w.sets, depth_shards)),
    output:
        csv="results/sets/{model}/{sets}.csv",
        manifest="results/sets/{model}/{sets}.csv.manifest.json",
    params:
        blocks=lambda w: films.sets_options(w.sets),
        images=lambda w, input: repeated("--images", input.images),
        depth=lambda w, input: repeated("--depth", input.depth),
        code=code_hash("measure-sets"),
    log:
        "logs/measure_sets/{model}/{sets}.log",
    benchmark:
        "logs/benchmarks/measure_sets/{model}/{sets}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 120 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-sets --model {input.network:q} {params.blocks} {params.images}"
        " {params.depth} --name {wildcards.sets} --device {resources.device} --out {output.csv} > {log} 2>&1"


rule tabulate_limits:
    input:
        observer=ancient("results/ideal_observer/{dataset}"),
        evaluations=lambda w: ancient(limit_evaluations(w.model, w.dataset)),
        atoms=lambda w: ancient(atoms_shards(w.dataset)),
        manifests=lambda w: manifests(
            [f"results/ideal_observer/{w.dataset}", *limit_evaluations(w.model, w.dataset), *atoms_shards(w.dataset)]
        ),
    output:
        csv="results/tables/limits_{model}_{dataset}.csv",
        manifest="results/tables/limits_{model}_{dataset}.csv.manifest.json",
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        atoms=lambda w, input: repeated("--atoms", input.atoms),
        code=code_hash("tabulate-limits"),
    log:
        "logs/tabulate_limits/{model}_{dataset}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 2000 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
    shell:
        "segdepth tabulate-limits --observer {input.observer} {params.evaluations} {params.atoms} --out {output.csv}"
        " > {log} 2>&1"


rule map_limits:
    input:
        atoms=lambda w: ancient(atoms_shards(cfg.limit_maps[w.limit_map].dataset)),
        manifests=lambda w: manifests(atoms_shards(cfg.limit_maps[w.limit_map].dataset)),
    output:
        folder=directory("results/limit_maps/{limit_map}"),
        manifest="results/limit_maps/{limit_map}.manifest.json",
    params:
        blocks=lambda w: films.map_options(w.limit_map),
        atoms=lambda w, input: repeated("--atoms", input.atoms),
        code=code_hash("map-limits"),
    log:
        "logs/map_limits/{limit_map}.log",
    benchmark:
        "logs/benchmarks/map_limits/{limit_map}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 240 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "segdepth map-limits {params.blocks} {params.atoms} --name {wildcards.limit_map}"
        " --device {resources.device} --out {output.folder} > {log} 2>&1"


rule plot_limits:
    input:
        table=ancient("results/tables/limits_{model}_{dataset}.csv"),
        manifest="results/tables/limits_{model}_{dataset}.csv.manifest.json",
    output:
        png=report(
            "results/figures/limits_{model}_{dataset}.png",
            caption="../report/figure.rst",
            category="Limits",
            labels={"figure": "limits", "shows": "{model} on {dataset}"},
        ),
        pdf="results/figures/limits_{model}_{dataset}.pdf",
        manifests=manifests(["results/figures/limits_{model}_{dataset}.png", "results/figures/limits_{model}_{dataset}.pdf"]),
    params:
        caption=FIGURES["limits"].caption,
        code=code_hash("plot-limits"),
    log:
        "logs/plot_limits/{model}_{dataset}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-limits --table {input.table} --out {output.png} > {log} 2>&1"


rule plot_limit_map:
    input:
        folder=ancient("results/limit_maps/{limit_map}"),
        manifest="results/limit_maps/{limit_map}.manifest.json",
    output:
        png=report(
            "results/figures/limit_map_{limit_map}.png",
            caption="../report/figure.rst",
            category="Limits",
            labels={"figure": "where to record", "shows": "{limit_map}"},
        ),
        pdf="results/figures/limit_map_{limit_map}.pdf",
        manifests=manifests(["results/figures/limit_map_{limit_map}.png", "results/figures/limit_map_{limit_map}.pdf"]),
    params:
        caption=FIGURES["limit_map"].caption,
        code=code_hash("plot-limits"),
    log:
        "logs/plot_limits/{limit_map}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-limits --table {input.folder} --out {output.png} > {log} 2>&1"
