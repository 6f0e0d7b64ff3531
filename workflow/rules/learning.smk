"""Training. The bar is shown and logged: this is the one step that takes minutes on its own."""


rule train_model:
    input:
        waves=lambda w: ancient(wave_shards(cfg.models[w.model].dataset)),
        depth=lambda w: ancient(depth_shards(cfg.models[w.model].dataset)),
        manifests=lambda w: manifests(
            wave_shards(cfg.models[w.model].dataset) + depth_shards(cfg.models[w.model].dataset)
        ),
    output:
        network=directory("results/models/{model}"),
        manifest="results/models/{model}.manifest.json",
    params:
        model=lambda w: cfg.models[w.model].as_json(),
        dataset=lambda w: cfg.datasets[cfg.models[w.model].dataset].as_json(),
        specimen=lambda w: blocks_of(cfg.models[w.model].dataset)["specimen"].as_json(),
        imaging=lambda w: blocks_of(cfg.models[w.model].dataset)["imaging"].as_json(),
        labels=lambda w: blocks_of(cfg.models[w.model].dataset)["labels"].as_json(),
        waves=lambda w, input: repeated("--waves", input.waves),
        depth=lambda w, input: repeated("--depth", input.depth),
        root_seed=cfg.root_seed,
        code=code_hash("segdepth.learning.training"),
    log:
        "logs/train_model/{model}.log",
    benchmark:
        "logs/benchmarks/train_model/{model}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=720,
        device=cfg.device,
        gpu=GPU,
    shell:
        "segdepth train-model --name {wildcards.model} --model {params.model:q} --dataset {params.dataset:q}"
        " --specimen {params.specimen:q} --imaging {params.imaging:q} --labels {params.labels:q}"
        " {params.waves} {params.depth} --root-seed {params.root_seed} --device {resources.device} --threads {threads}"
        " --checkpoints results/checkpoints/{wildcards.model} --out {output.network} 2>&1 | tee {log}"
