"""Depth maps."""


rule project_depth:
    input:
        atoms=ancient("data/specimens/{specimen}/shard-{shard}.extxyz"),
        manifest="data/specimens/{specimen}/shard-{shard}.extxyz.manifest.json",
    output:
        store=directory("data/depth/{specimen}/{labels}/shard-{shard}.zarr"),
        manifest="data/depth/{specimen}/{labels}/shard-{shard}.zarr.manifest.json",
    params:
        block=lambda w: as_json(cfg.labels[w.labels]),
        code=code_hash("project-depth"),
    log:
        "logs/project_depth/{specimen}/{labels}/shard-{shard}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: costs.project_depth(w.specimen, w.labels).mem_mb(attempt),
        runtime=lambda w, attempt: costs.project_depth(w.specimen, w.labels).runtime(attempt),
    shell:
        "segdepth project-depth --atoms {input.atoms} --labels {params.block:q} --out {output.store} > {log} 2>&1"
