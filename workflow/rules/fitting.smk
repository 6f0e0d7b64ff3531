"""Lens, tilt and thickness fitted to micrographs."""


rule fit_lens:
    input:
        micrograph=lambda w: micrograph_input(cfg.lens_fits[w.lens_fit]),
    output:
        json="results/lens_fits/{lens_fit}.json",
        manifest="results/lens_fits/{lens_fit}.json.manifest.json",
    params:
        options=lambda w: lens_fit_options(w.lens_fit).as_json(),
        crystal=lambda w: as_json(cfg.crystals[cfg.lens_fits[w.lens_fit].crystal]),
        code=code_hash("fit-lens"),
    log:
        "logs/fit_lens/{lens_fit}.log",
    benchmark:
        "logs/benchmarks/fit_lens/{lens_fit}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    shell:
        "segdepth fit-lens --lens-fit {params.options:q} --crystal {params.crystal:q} --tables data/wave_tables"
        " --no-picture --out {output.json} -- {input.micrograph:q} > {log} 2>&1"


rule plot_lens_fit:
    input:
        fit=ancient("results/lens_fits/{lens_fit}.json"),
        manifest=manifests(["results/lens_fits/{lens_fit}.json"]),
    output:
        png=report(
            "results/figures/lens_fit_{lens_fit}.png",
            caption="../report/figure.rst",
            category="Fits of the lens",
            labels={"micrograph": "{lens_fit}", "shows": "fit of the lens"},
        ),
        pdf="results/figures/lens_fit_{lens_fit}.pdf",
        manifests=manifests(["results/figures/lens_fit_{lens_fit}.png", "results/figures/lens_fit_{lens_fit}.pdf"]),
    params:
        caption=FIGURES["lens_fit"].caption,
        code=code_hash("plot-lens-fit"),
    log:
        "logs/plot_lens_fit/{lens_fit}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-lens-fit --fit {input.fit} --out {output.png} > {log} 2>&1"
