"""The network that comes with the package. Not among the default targets: made when it is asked for, to be committed."""


rule ship_model:
    input:
        evaluations=lambda w: ancient(shipped_evaluations()),
        network=lambda w: ancient(network_of(cfg.shipped.model)),
        manifests=lambda w: manifests([network_of(cfg.shipped.model), *shipped_evaluations()]),
    output:
        network=directory("pipeline/segdepth/shipped/network"),
        manifest="pipeline/segdepth/shipped/network.manifest.json",
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        code=code_hash("segdepth.evaluation.shipping"),
    log:
        "logs/ship_model/ship_model.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "segdepth ship-model --model {input.network} {params.evaluations} --out {output.network} > {log} 2>&1"
