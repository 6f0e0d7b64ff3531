"""Networks under each other's conditions: not among the default targets."""

from segdepth.steps.generalization_layout import generalization_evaluations, generalization_models


wildcard_constraints:
    generalization="|".join(cfg.generalization) or "NONE",


rule tabulate_generalization:
    input:
        evaluations=lambda w: ancient(generalization_evaluations(cfg, w.generalization)),
        models=lambda w: ancient(generalization_models(cfg, w.generalization)),
        manifests=lambda w: manifests(
            generalization_evaluations(cfg, w.generalization) + generalization_models(cfg, w.generalization)
        ),
    output:
        csv="results/tables/generalization_{generalization}.csv",
        manifest="results/tables/generalization_{generalization}.csv.manifest.json",
    params:
        block=lambda w: as_json(cfg.generalization[w.generalization]),
        code=code_hash("tabulate-generalization"),
    log:
        "logs/tabulate_generalization/{generalization}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth tabulate-generalization --generalization {params.block:q} --evaluations-root results/evaluation"
        " --models-root results/models --out {output.csv} > {log} 2>&1"


rule plot_generalization:
    input:
        table=ancient("results/tables/generalization_{generalization}.csv"),
        manifest="results/tables/generalization_{generalization}.csv.manifest.json",
    output:
        png=report(
            "results/figures/generalization_{generalization}.png",
            caption="../report/figure.rst",
            category="Generalization",
            labels={"figure": "generalization", "shows": "{generalization}"},
        ),
        pdf="results/figures/generalization_{generalization}.pdf",
        manifests=manifests(
            [
                "results/figures/generalization_{generalization}.png",
                "results/figures/generalization_{generalization}.pdf",
            ]
        ),
    params:
        caption=FIGURES["generalization"].caption,
        code=code_hash("plot-generalization"),
    log:
        "logs/plot_generalization/{generalization}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-generalization --table {input.table} --out {output.png} > {log} 2>&1"
