"""Networks measured on test structures."""


rule evaluate_model:
    input:
        network=lambda w: ancient(evaluated_network(w.model, w.dataset)),
        network_manifest=lambda w: manifests([network_of(w.model)]),
        images=lambda w: ancient(image_shards(w.dataset)),
        depth=lambda w: ancient(depth_shards(w.dataset)),
        manifests=lambda w: manifests(image_shards(w.dataset) + depth_shards(w.dataset)),
    output:
        folder=directory("results/evaluation/{model}/{dataset}"),
        manifest="results/evaluation/{model}/{dataset}.manifest.json",
    params:
        dataset=lambda w: as_json(cfg.datasets[w.dataset]),
        specimen=lambda w: as_json(blocks_of(w.dataset)["specimen"]),
        images=lambda w, input: repeated("--images", input.images),
        depth=lambda w, input: repeated("--depth", input.depth),
        code=code_hash("evaluate-model"),
    log:
        "logs/evaluate_model/{model}/{dataset}.log",
    benchmark:
        "logs/benchmarks/evaluate_model/{model}/{dataset}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: costs.evaluate_model(w.model, w.dataset).mem_mb(attempt),
        runtime=lambda w, attempt, threads: costs.evaluate_model(w.model, w.dataset).runtime(attempt, threads),
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth evaluate-model --model {input.network:q} --dataset {params.dataset:q}"
        " --specimen {params.specimen:q} --name {wildcards.dataset} {params.images} {params.depth}"
        " --device {resources.device} --out {output.folder} > {log} 2>&1"
