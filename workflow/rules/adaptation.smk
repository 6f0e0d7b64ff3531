"""Networks tuned to one film: not among the default targets. What they are made of lies below results/adaptations/NAME,
which is a project of its own."""


rule plan_adaptation:
    input:
        micrograph=lambda w: adaptation_input(w.adaptation),
        lens_fit=lambda w: adapted_from(w.adaptation)[0],
        network=lambda w: ancient(adapted_from(w.adaptation)[1]),
        manifests=lambda w: manifests(adapted_from(w.adaptation)),
    output:
        config="results/adaptations/{adaptation}/config.yaml",
        manifest="results/adaptations/{adaptation}/config.yaml.manifest.json",
    params:
        options=lambda w: adaptation_options(w.adaptation),
        code=code_hash("plan-adaptation"),
    log:
        "logs/plan_adaptation/{adaptation}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plan-adaptation --lens {input.lens_fit:q} --model {input.network:q} {params.options}"
        " --cores {threads} --out results/adaptations/{wildcards.adaptation} -- {input.micrograph:q} > {log} 2>&1"


rule adapt_network:
    input:
        micrograph=lambda w: adaptation_input(w.adaptation),
        lens_fit=lambda w: adapted_from(w.adaptation)[0],
        network=lambda w: ancient(adapted_from(w.adaptation)[1]),
        config=ancient("results/adaptations/{adaptation}/config.yaml"),
        manifest="results/adaptations/{adaptation}/config.yaml.manifest.json",
    output:
        network=directory("results/adaptations/{adaptation}/results/models/adapted"),
        network_manifest="results/adaptations/{adaptation}/results/models/adapted.manifest.json",
        prediction=directory("results/adaptations/{adaptation}/results/predictions/film"),
        manifest="results/adaptations/{adaptation}/results/predictions/film.manifest.json",
    params:
        options=lambda w: adaptation_options(w.adaptation),
        code=code_hash("adapt"),
    log:
        "logs/adapt_network/{adaptation}.log",
    benchmark:
        "logs/benchmarks/adapt_network/{adaptation}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 6000 * attempt,
        runtime=lambda w, attempt: (30 + round(1.5 * cfg.adaptations[w.adaptation].minutes)) * attempt,
        device=cfg.device,
        gpu=GPU,
    shell:
        "segdepth adapt --lens {input.lens_fit:q} --model {input.network:q} {params.options}"
        " --cores {threads} --device {resources.device} --out results/adaptations/{wildcards.adaptation} -- {input.micrograph:q} 2>&1"
        " | tee {log}"
