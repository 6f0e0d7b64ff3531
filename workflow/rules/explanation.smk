"""Predictions explained by the fit of their lens: results/explanations/<prediction>/<lens fit>/."""


rule explain_prediction:
    input:
        prediction=ancient("results/predictions/{prediction}"),
        lens=ancient("results/lens_fits/{lens_fit}.json"),
        manifests=manifests(["results/predictions/{prediction}", "results/lens_fits/{lens_fit}.json"]),
    output:
        folder=directory("results/explanations/{prediction}/{lens_fit}"),
        manifest="results/explanations/{prediction}/{lens_fit}.manifest.json",
    params:
        force=lambda w: "--force" if cfg.lens_fits[w.lens_fit].force_explanation else "",
        code=code_hash("explain"),
    log:
        "logs/explain_prediction/{prediction}/{lens_fit}.log",
    benchmark:
        "logs/benchmarks/explain_prediction/{prediction}/{lens_fit}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 240 * attempt,
    shell:
        "segdepth explain --lens {input.lens:q} {params.force} --out {output.folder:q} -- {input.prediction:q} > {log} 2>&1"
