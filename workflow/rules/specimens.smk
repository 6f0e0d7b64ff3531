"""Plans and atoms."""


rule plan_specimens:
    output:
        plan="data/specimens/{specimen}/plan.csv",
        manifest="data/specimens/{specimen}/plan.csv.manifest.json",
    params:
        block=lambda w: cfg.specimens[w.specimen].as_json(),
        root_seed=cfg.root_seed,
        code=code_hash("segdepth.specimen.plan"),
    log:
        "logs/plan_specimens/{specimen}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "segdepth plan-specimens --specimen {params.block:q} --name {wildcards.specimen}"
        " --root-seed {params.root_seed} --out {output.plan} > {log} 2>&1"


rule build_specimens:
    input:
        plan="data/specimens/{specimen}/plan.csv",
        plan_manifest="data/specimens/{specimen}/plan.csv.manifest.json",
    output:
        atoms="data/specimens/{specimen}/shard-{shard}.extxyz",
        manifest="data/specimens/{specimen}/shard-{shard}.extxyz.manifest.json",
    params:
        block=lambda w: cfg.specimens[w.specimen].as_json(),
        root_seed=cfg.root_seed,
        number=lambda w: int(w.shard),
        code=code_hash("segdepth.steps.build_specimens"),
    log:
        "logs/build_specimens/{specimen}/shard-{shard}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    shell:
        "segdepth build-specimens --specimen {params.block:q} --name {wildcards.specimen} --plan {input.plan}"
        " --shard {params.number} --root-seed {params.root_seed} --out {output.atoms} > {log} 2>&1"
