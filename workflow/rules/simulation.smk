"""Exit waves, images, and simulated recordings."""


rule simulate_waves:
    input:
        atoms=ancient("data/specimens/{specimen}/shard-{shard}.extxyz"),
        manifest="data/specimens/{specimen}/shard-{shard}.extxyz.manifest.json",
    output:
        store=directory("data/waves/{specimen}/{beam}/shard-{shard}.zarr"),
        manifest="data/waves/{specimen}/{beam}/shard-{shard}.zarr.manifest.json",
    params:
        block=lambda w: as_json(cfg.beams[w.beam]),
        code=code_hash("simulate-waves"),
    log:
        "logs/simulate_waves/{specimen}/{beam}/shard-{shard}.log",
    benchmark:
        "logs/benchmarks/simulate_waves/{specimen}/{beam}/shard-{shard}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: costs.simulate_waves(w.specimen, w.beam).mem_mb(attempt),
        runtime=lambda w, attempt: costs.simulate_waves(w.specimen, w.beam).runtime(attempt),
        device=cfg.device,
        gpu=GPU,  # a resource cannot see another one: who sets device=cpu sets gpu=0 as well
    shell:
        "segdepth simulate-waves --atoms {input.atoms} --beam {params.block:q}"
        " --device {resources.device} --out {output.store} > {log} 2>&1"


rule form_images:
    input:
        waves=ancient("data/waves/{specimen}/{beam}/shard-{shard}.zarr"),
        manifest="data/waves/{specimen}/{beam}/shard-{shard}.zarr.manifest.json",
    output:
        store=directory("data/images/{specimen}/{beam}/{imaging}/shard-{shard}.zarr"),
        manifest="data/images/{specimen}/{beam}/{imaging}/shard-{shard}.zarr.manifest.json",
    params:
        block=lambda w: as_json(cfg.imaging[w.imaging]),
        code=code_hash("form-images"),
    log:
        "logs/form_images/{specimen}/{beam}/{imaging}/shard-{shard}.log",
    benchmark:
        "logs/benchmarks/form_images/{specimen}/{beam}/{imaging}/shard-{shard}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: costs.form_images(w.specimen, w.beam, w.imaging).mem_mb(attempt),
        runtime=lambda w, attempt: costs.form_images(w.specimen, w.beam, w.imaging).runtime(attempt),
        device=LIGHT_DEVICE,
    shell:
        "segdepth form-images --waves {input.waves} --imaging {params.block:q}"
        " --device {resources.device} --out {output.store} > {log} 2>&1"


rule record_micrograph:
    input:
        waves=lambda w: ancient(micrograph_waves(w.micrograph)),
        manifest=lambda w: manifests([micrograph_waves(w.micrograph)]),
    output:
        counts="data/micrographs/{micrograph}.npz",
        manifest="data/micrographs/{micrograph}.npz.manifest.json",
    params:
        micrograph=lambda w: as_json(cfg.micrographs[w.micrograph]),
        dataset=lambda w: as_json(cfg.datasets[cfg.micrographs[w.micrograph].dataset]),
        imaging=lambda w: as_json(blocks_of(cfg.micrographs[w.micrograph].dataset)["imaging"]),
        structure=lambda w: micrograph_structure(w.micrograph),
        code=code_hash("record-micrograph"),
    log:
        "logs/record_micrograph/{micrograph}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 2000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth record-micrograph --waves {input.waves} --micrograph {params.micrograph:q}"
        " --imaging {params.imaging:q} --dataset {params.dataset:q} --structure {params.structure}"
        " --out {output.counts} > {log} 2>&1"
