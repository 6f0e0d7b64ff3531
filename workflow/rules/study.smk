"""How exact the simulation is: not among the default targets, made by `make convergence`."""


rule study_convergence:
    input:
        atoms=lambda w: ancient(study_atoms()),
        manifest=lambda w: manifests([study_atoms()]),
    output:
        csv=report(
            "results/tables/study_convergence.csv",
            caption="../report/study_convergence.rst",
            category="Tables",
            labels={"table": "convergence", "shows": "error and time of the simulation"},
        ),
        manifest=manifests(["results/tables/study_convergence.csv"]),
    params:
        beam=lambda w: as_json(study_blocks()["beam"]),
        imaging=lambda w: as_json(study_blocks()["imaging"]),
        structures=lambda w: repeated("--structure", cfg.convergence.structures),
        phonons=lambda w: cfg.convergence.phonons,
        code=code_hash("study-convergence"),
    log:
        "logs/study_convergence/study_convergence.log",
    benchmark:
        "logs/benchmarks/study_convergence/study_convergence.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: lambda w: workflow.resource_settings.cores or 1  # it takes times: nothing else may run beside it
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,  # 1.7 GB for an upright crystal, and structure factors of up to 0.5 GB for a tilted one
        runtime=lambda w, attempt: 120 * attempt,
    shell:
        "segdepth study-convergence --atoms {input.atoms} --beam {params.beam:q} --imaging {params.imaging:q}"
        " {params.structures} --phonons {params.phonons} --checkpoints results/checkpoints/study_convergence"
        " --out {output.csv} 2>&1 | tee {log}"
