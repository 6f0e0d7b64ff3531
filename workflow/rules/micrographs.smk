"""Micrographs in; depth maps and columns out, or what the simulation says of them."""


rule predict_micrograph:
    input:
        micrograph=lambda w: micrograph_input(cfg.predictions[w.prediction]),
        network=lambda w: ancient(network_of(cfg.predictions[w.prediction].model)),
        manifest=lambda w: manifests([network_of(cfg.predictions[w.prediction].model)]),
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
        options=lambda w: micrograph_options(cfg.predictions[w.prediction]),
        code=code_hash("predict"),
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
        "OMP_NUM_THREADS={threads} segdepth predict --model {input.network:q} {params.options}"
        " --device {resources.device} --out {output.folder} -- {input.micrograph:q} > {log} 2>&1"


rule compare_micrograph:
    input:
        micrograph=lambda w: micrograph_input(cfg.comparisons[w.comparison]),
        waves=lambda w: ancient(comparison_waves(w.comparison)),
        manifest=lambda w: manifests([comparison_waves(w.comparison)]),
    output:
        folder=report(
            directory("results/comparisons/{comparison}"),
            patterns=["{picture}.png"],
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"micrograph": "{comparison}", "shows": "{picture}"},
        ),
        manifest="results/comparisons/{comparison}.manifest.json",
    params:
        options=lambda w: comparison_options(w.comparison),
        imaging=lambda w: blocks_of(cfg.comparisons[w.comparison].dataset)["imaging"].as_json(),
        specimen=lambda w: cfg.datasets[cfg.comparisons[w.comparison].dataset].specimen,
        lattice_pm=lambda w: blocks_of(cfg.comparisons[w.comparison].dataset)["specimen"].lattice_pm,
        root_seed=cfg.root_seed,
        code=code_hash("compare-micrograph"),
        drawing=code_hash("segdepth.figures.comparison"),
    log:
        "logs/compare_micrograph/{comparison}.log",
    benchmark:
        "logs/benchmarks/compare_micrograph/{comparison}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    shell:
        "segdepth compare-micrograph --waves {input.waves} --imaging {params.imaging:q}"
        " --specimen-name {params.specimen} --lattice-pm {params.lattice_pm} {params.options}"
        " --root-seed {params.root_seed} --out {output.folder} -- {input.micrograph:q} > {log} 2>&1"
