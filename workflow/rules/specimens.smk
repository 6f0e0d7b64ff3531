"""Plans and atoms."""


rule plan_specimens:
    input:
        structure=lambda w: structure_file(w.specimen),
    output:
        plan="data/specimens/{specimen}/plan.csv",
        manifest="data/specimens/{specimen}/plan.csv.manifest.json",
    params:
        block=lambda w: as_json(cfg.specimens[w.specimen]),
        crystal=lambda w: as_json(crystal_of(w.specimen)),
        root_seed=cfg.root_seed,
        code=code_hash("plan-specimens"),
    log:
        "logs/plan_specimens/{specimen}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plan-specimens --specimen {params.block:q} --crystal {params.crystal:q} --name {wildcards.specimen}"
        " --root-seed {params.root_seed} --out {output.plan} > {log} 2>&1"


rule build_specimens:
    input:
        plan=ancient("data/specimens/{specimen}/plan.csv"),
        plan_manifest="data/specimens/{specimen}/plan.csv.manifest.json",
        structure=lambda w: structure_file(w.specimen),
    output:
        atoms="data/specimens/{specimen}/shard-{shard}.extxyz",
        manifest="data/specimens/{specimen}/shard-{shard}.extxyz.manifest.json",
    params:
        block=lambda w: as_json(cfg.specimens[w.specimen]),
        crystal=lambda w: as_json(crystal_of(w.specimen)),
        root_seed=cfg.root_seed,
        number=lambda w: int(w.shard),
        code=code_hash("build-specimens"),
    log:
        "logs/build_specimens/{specimen}/shard-{shard}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: costs.build_specimens(w.specimen).mem_mb(attempt),
        runtime=lambda w, attempt: costs.build_specimens(w.specimen).runtime(attempt),
    shell:
        "segdepth build-specimens --specimen {params.block:q} --crystal {params.crystal:q}"
        " --name {wildcards.specimen} --plan {input.plan} --shard {params.number}"
        " --root-seed {params.root_seed} --out {output.atoms} > {log} 2>&1"
