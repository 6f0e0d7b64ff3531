"""Micrographs in, depth maps and columns out."""


rule predict_micrograph:
    input:
        micrograph=lambda w: prediction_input(w.prediction),
        network=lambda w: ancient(f"results/models/{cfg.predictions[w.prediction].model}"),
        manifest=lambda w: f"results/models/{cfg.predictions[w.prediction].model}.manifest.json",
    output:
        folder=report(
            directory("results/predictions/{prediction}"),
            patterns=["{picture}.png"],
            caption="../report/prediction.rst",
            category="Predictions",
            labels={"micrograph": "{prediction}", "shows": "{picture}"},
        ),
        manifest="results/predictions/{prediction}.manifest.json",
    params:
        options=lambda w: prediction_options(w.prediction),
        code=code_hash("segdepth.inference.predict"),
        drawing=code_hash("segdepth.figures.prediction"),
    log:
        "logs/predict_micrograph/{prediction}.log",
    benchmark:
        "logs/benchmarks/predict_micrograph/{prediction}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth predict --model {input.network} {params.options}"
        " --device {resources.device} --out {output.folder} -- {input.micrograph:q} > {log} 2>&1"
