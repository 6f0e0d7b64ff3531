"""The network that comes with the package. Not among the default targets: made when it is asked for, to be committed."""


rule export_model:
    input:
        evaluations=lambda w: ancient(exported_evaluations()),
        network=lambda w: ancient(network_of(cfg.export.model)),
        manifests=lambda w: manifests([network_of(cfg.export.model), *exported_evaluations()]),
    output:
        network=directory("pipeline/segdepth/bundled/network"),
        manifest="pipeline/segdepth/bundled/network.manifest.json",
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        code=code_hash("export-model"),
    log:
        "logs/export_model/export_model.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "segdepth export-model --model {input.network} {params.evaluations} --out {output.network} > {log} 2>&1"
