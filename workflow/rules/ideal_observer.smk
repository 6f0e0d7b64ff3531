"""How well columns can be counted at all: not among the default targets."""


rule estimate_ideal_observer:
    input:
        plan=lambda w: ancient(plan_of(w.dataset)),
        atoms=lambda w: ancient(atoms_shards(w.dataset)),
        manifests=lambda w: manifests([plan_of(w.dataset), *atoms_shards(w.dataset)]),
    output:
        folder=directory("results/ideal_observer/{dataset}"),
        manifest="results/ideal_observer/{dataset}.manifest.json",
    params:
        dataset=lambda w: as_json(cfg.datasets[w.dataset]),
        specimen=lambda w: as_json(blocks_of(w.dataset)["specimen"]),
        beam=lambda w: as_json(cfg.beams[cfg.datasets[w.dataset].beam]),
        imaging=lambda w: as_json(blocks_of(w.dataset)["imaging"]),
        labels=lambda w: as_json(blocks_of(w.dataset)["labels"]),
        atoms=lambda w, input: repeated("--atoms", input.atoms),
        code=code_hash("estimate-ideal-observer"),
    log:
        "logs/estimate_ideal_observer/{dataset}.log",
    benchmark:
        "logs/benchmarks/estimate_ideal_observer/{dataset}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: costs.estimate_ideal_observer(w.dataset).mem_mb(attempt),
        runtime=lambda w, attempt: costs.estimate_ideal_observer(w.dataset).runtime(attempt),
        device=LIGHT_DEVICE,
    shell:
        "segdepth estimate-ideal-observer --dataset {params.dataset:q} --specimen {params.specimen:q}"
        " --beam {params.beam:q} --imaging {params.imaging:q} --labels {params.labels:q} --name {wildcards.dataset}"
        " --plan {input.plan} {params.atoms} --device {resources.device} --out {output.folder} > {log} 2>&1"
