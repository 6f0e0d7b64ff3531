"""Networks measured on test structures."""


rule evaluate_model:
    input:
        network=lambda w: ancient(judged_network(w.model, w.dataset)),
        network_manifest=lambda w: manifests([network_of(w.model)]),
        images=lambda w: ancient(image_shards(w.dataset)),
        depth=lambda w: ancient(depth_shards(w.dataset)),
        manifests=lambda w: manifests(image_shards(w.dataset) + depth_shards(w.dataset)),
    output:
        folder=directory("results/evaluation/{model}/{dataset}"),
        manifest="results/evaluation/{model}/{dataset}.manifest.json",
    params:
        dataset=lambda w: cfg.datasets[w.dataset].as_json(),
        specimen=lambda w: blocks_of(w.dataset)["specimen"].as_json(),
        images=lambda w, input: repeated("--images", input.images),
        depth=lambda w, input: repeated("--depth", input.depth),
        root_seed=cfg.root_seed,
        code=code_hash("evaluate-model"),
    log:
        "logs/evaluate_model/{model}/{dataset}.log",
    benchmark:
        "logs/benchmarks/evaluate_model/{model}/{dataset}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=3000,
        runtime=120,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth evaluate-model --model {input.network:q} --dataset {params.dataset:q}"
        " --specimen {params.specimen:q} --dataset-name {wildcards.dataset} {params.images} {params.depth}"
        " --root-seed {params.root_seed} --device {resources.device} --out {output.folder} > {log} 2>&1"
