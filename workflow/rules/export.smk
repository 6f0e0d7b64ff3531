"""The network that comes with the package. Not among the default targets: `make export` asks for it, and puts it into the
package when it is whole."""


rule export_model:
    input:
        evaluations=lambda w: ancient(exported_evaluations()),
        network=lambda w: ancient(network_of(w.model)),
        manifests=lambda w: manifests([network_of(w.model), *exported_evaluations()]),
    output:
        network=directory("results/export/{model}"),
        manifest="results/export/{model}.manifest.json",
    wildcard_constraints:
        model=cfg.export.model if cfg.export else "NONE",
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        code=code_hash("export-model"),
    log:
        "logs/export_model/{model}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 2000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth export-model --model {input.network:q} {params.evaluations} --out {output.network} > {log} 2>&1"
