"""Training. The bar is shown and logged: this is the one step that takes minutes on its own."""


rule train_model:
    input:
        waves=lambda w: ancient(training_shards(w.model, wave_shards)),
        depth=lambda w: ancient(training_shards(w.model, depth_shards)),
        init_weights=lambda w: ancient(init_weights_of(w.model)),
        manifests=lambda w: manifests(
            distinct(training_shards(w.model, wave_shards) + training_shards(w.model, depth_shards))
            + init_weights_of(w.model)
        ),
    output:
        network=directory("results/models/{model}"),
        manifest="results/models/{model}.manifest.json",
    wildcard_constraints:
        model="|".join(cfg.models) or "NONE",
    params:
        model=lambda w: cfg.models[w.model].as_json(),
        training_sets=lambda w: training_options(w.model),
        waves=lambda w, input: repeated("--waves", input.waves),
        depth=lambda w, input: repeated("--depth", input.depth),
        root_seed=cfg.root_seed,
        code=code_hash("train-model"),
    log:
        "logs/train_model/{model}.log",
    benchmark:
        "logs/benchmarks/train_model/{model}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda w, attempt: costs.train_model(w.model).mem_mb(attempt),
        runtime=lambda w, attempt, threads: costs.train_model(w.model).runtime(attempt, threads),
        device=cfg.device,
        gpu=lambda w: GPU * cfg.models[w.model].training.devices,
        nodes=1,  # all of its GPUs in one
    shell:
        "segdepth train-model --name {wildcards.model} --model {params.model:q} {params.training_sets}"
        " {params.waves} {params.depth} --root-seed {params.root_seed} --device {resources.device} --threads {threads}"
        " --checkpoints results/checkpoints/{wildcards.model} --out {output.network} 2>&1 | tee {log}"
