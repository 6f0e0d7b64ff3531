"""Micrographs in; depth maps and columns out, or what the simulation says of them. Pictures: figures.smk."""


rule predict_micrograph:
    input:
        micrograph=lambda w: micrograph_input(cfg.predictions[w.prediction]),
        network=lambda w: ancient(network_of(cfg.predictions[w.prediction].model)),
        lens=lambda w: ancient(prediction_lens(w.prediction)),
        manifest=lambda w: manifests([network_of(cfg.predictions[w.prediction].model), *prediction_lens(w.prediction)]),
    output:
        folder=directory("results/predictions/{prediction}"),
        manifest="results/predictions/{prediction}.manifest.json",
    params:
        prediction=lambda w: micrograph_options(cfg.predictions[w.prediction]).as_json(),
        lens=lambda w, input: repeated("--lens", input.lens),
        code=code_hash("predict"),
    log:
        "logs/predict_micrograph/{prediction}.log",
    benchmark:
        "logs/benchmarks/predict_micrograph/{prediction}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth predict --model {input.network:q} --prediction {params.prediction:q}"
        " {params.lens} --device {resources.device} --out {output.folder} -- {input.micrograph:q} > {log} 2>&1"


rule compare_micrograph:
    input:
        micrograph=lambda w: micrograph_input(cfg.comparisons[w.comparison]),
        waves=lambda w: ancient(comparison_waves(w.comparison)),
        manifest=lambda w: manifests([comparison_waves(w.comparison)]),
    output:
        folder=directory("results/comparisons/{comparison}"),
        manifest="results/comparisons/{comparison}.manifest.json",
    params:
        comparison=lambda w: micrograph_options(cfg.comparisons[w.comparison]).as_json(),
        structure=lambda w: comparison_structure(w.comparison),
        imaging=lambda w: as_json(blocks_of(cfg.comparisons[w.comparison].dataset)["imaging"]),
        code=code_hash("compare-micrograph"),
    log:
        "logs/compare_micrograph/{comparison}.log",
    benchmark:
        "logs/benchmarks/compare_micrograph/{comparison}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    shell:
        "segdepth compare-micrograph --waves {input.waves} --imaging {params.imaging:q} --structure {params.structure}"
        " --comparison {params.comparison:q} --no-picture --out {output.folder} -- {input.micrograph:q} > {log} 2>&1"


rule measure_familiarity:
    input:
        network=lambda w: ancient(network_of(w.model)),
        network_manifest=lambda w: manifests([network_of(w.model)]),
        images=lambda w: ancient(familiar_shards(w.model)),
        manifests=lambda w: manifests(familiar_shards(w.model)),
    output:
        json="results/familiarity/{model}.json",
        manifest="results/familiarity/{model}.json.manifest.json",
    params:
        images=lambda w, input: repeated("--images", input.images),
        code=code_hash("measure-familiarity"),
    log:
        "logs/measure_familiarity/{model}.log",
    benchmark:
        "logs/benchmarks/measure_familiarity/{model}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: costs.measure_familiarity(w.model).mem_mb(attempt),
        runtime=lambda w, attempt, threads: costs.measure_familiarity(w.model).runtime(attempt, threads),
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-familiarity --model {input.network:q} {params.images}"
        " --device {resources.device} --out {output.json} > {log} 2>&1"
