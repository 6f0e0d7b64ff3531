"""Every table and figure of the paper (`snakemake paper`): denoisers, gradients, and our numbers beside the paper's."""

from segdepth.config import PAPER_ITEMS
from segdepth.steps.paper_files import PaperFiles

paper_files = PaperFiles(layout)
paper_tabulated = asked(paper_files.tabulated)
paper_gradients = asked(paper_files.gradients)
paper_targets = asked(paper_files.targets)


rule measure_denoiser:
    input:
        network=lambda w: ancient(network_of(w.model)),
        images=lambda w: ancient(image_shards(w.dataset)),
        depth=lambda w: ancient(depth_shards(w.dataset)),
        manifests=lambda w: manifests([network_of(w.model)] + image_shards(w.dataset) + depth_shards(w.dataset)),
    output:
        csv="results/denoising/{model}/{dataset}.csv",
        manifest="results/denoising/{model}/{dataset}.csv.manifest.json",
    params:
        dataset=lambda w: as_json(cfg.datasets[w.dataset]),
        specimen=lambda w: as_json(blocks_of(w.dataset)["specimen"]),
        images=lambda w, input: repeated("--images", input.images),
        depth=lambda w, input: repeated("--depth", input.depth),
        code=code_hash("measure-denoiser"),
    log:
        "logs/measure_denoiser/{model}/{dataset}.log",
    benchmark:
        "logs/benchmarks/measure_denoiser/{model}/{dataset}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: costs.evaluate_model(w.model, w.dataset).mem_mb(attempt),
        runtime=lambda w, attempt, threads: costs.evaluate_model(w.model, w.dataset).runtime(attempt, threads),
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-denoiser --model {input.network:q} --dataset {params.dataset:q}"
        " --specimen {params.specimen:q} --name {wildcards.dataset} {params.images} {params.depth}"
        " --device {resources.device} --out {output.csv} > {log} 2>&1"


rule measure_gradients:
    input:
        network=lambda w: ancient(evaluated_network(w.model, w.dataset)),
        images=lambda w: ancient(paper_files.shards(w.dataset, image_shards(w.dataset))),
        depth=lambda w: ancient(paper_files.shards(w.dataset, depth_shards(w.dataset))),
        manifests=lambda w: manifests(
            [network_of(w.model)]
            + paper_files.shards(w.dataset, image_shards(w.dataset))
            + paper_files.shards(w.dataset, depth_shards(w.dataset))
        ),
    output:
        folder=directory("results/gradients/{model}/{dataset}"),
        manifest="results/gradients/{model}/{dataset}.manifest.json",
    params:
        dataset=lambda w: as_json(cfg.datasets[w.dataset]),
        specimen=lambda w: as_json(blocks_of(w.dataset)["specimen"]),
        images=lambda w, input: repeated("--images", input.images),
        depth=lambda w, input: repeated("--depth", input.depth),
        structures=lambda w: repeated("--structure", paper_files.structures(w.dataset)),
        doses=lambda w: repeated("--dose", cfg.paper.gradient_lambda) if cfg.paper else "",
        atoms=lambda w: cfg.paper.gradient_atoms if cfg.paper else 1,
        code=code_hash("measure-gradients"),
    log:
        "logs/measure_gradients/{model}/{dataset}.log",
    benchmark:
        "logs/benchmarks/measure_gradients/{model}/{dataset}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-gradients --model {input.network:q} --dataset {params.dataset:q}"
        " --specimen {params.specimen:q} --name {wildcards.dataset} {params.images} {params.depth}"
        " {params.structures} {params.doses} --atoms {params.atoms}"
        " --device {resources.device} --out {output.folder} > {log} 2>&1"


rule measure_boundary:
    input:
        prediction=ancient("results/predictions/{prediction}"),
        network=lambda w: ancient(network_of(cfg.predictions[w.prediction].model)),
        manifests=lambda w: manifests(
            [f"results/predictions/{w.prediction}", network_of(cfg.predictions[w.prediction].model)]
        ),
    output:
        folder=directory("results/boundaries/{prediction}"),
        manifest="results/boundaries/{prediction}.manifest.json",
    params:
        code=code_hash("measure-boundary"),
    log:
        "logs/measure_boundary/{prediction}.log",
    benchmark:
        "logs/benchmarks/measure_boundary/{prediction}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 6000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-boundary --prediction {input.prediction} --model {input.network:q}"
        " --device {resources.device} --out {output.folder} > {log} 2>&1"


rule plot_boundary:
    input:
        gradients=ancient("results/boundaries/{prediction}"),
        manifest="results/boundaries/{prediction}.manifest.json",
    output:
        png=report(
            "results/figures/fig11_boundary_{prediction}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "11", "shows": "{prediction}"},
        ),
        pdf="results/figures/fig11_boundary_{prediction}.pdf",
        manifests=manifests(
            ["results/figures/fig11_boundary_{prediction}.png", "results/figures/fig11_boundary_{prediction}.pdf"]
        ),
    params:
        caption=FIGURES["fig11_boundary"].caption,
        code=code_hash("plot-boundary"),
    log:
        "logs/plot_boundary/{prediction}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-boundary --gradients {input.gradients} --out {output.png} > {log} 2>&1"


rule tabulate_paper:
    input:
        found=lambda w: ancient(paper_tabulated(w.item)),
        manifests=lambda w: manifests(paper_tabulated(w.item)),
    output:
        csv=report(
            "results/tables/{item}.csv",
            caption="../report/paper.rst",
            category="Paper",
            labels={"table": "{item}", "shows": "beside the paper's numbers"},
        ),
        manifest="results/tables/{item}.csv.manifest.json",
    params:
        paper=lambda w: as_json(paper_files.block),
        predictions=lambda w: repeated("--prediction", paper_files.predictions(w.item)),
        depth=lambda w: repeated("--depth", paper_files.recorded(w.item)),
        code=code_hash("tabulate-paper"),
    log:
        "logs/tabulate_paper/{item}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    wildcard_constraints:
        item="|".join(["paper", *PAPER_ITEMS]),
    shell:
        "segdepth tabulate-paper {wildcards.item} --paper {params.paper:q} {params.predictions} {params.depth}"
        " --out {output.csv} > {log} 2>&1"


rule plot_gradients:
    input:
        gradients=lambda w: ancient(paper_gradients()),
        manifests=lambda w: manifests(paper_gradients()),
    output:
        png=report(
            "results/figures/fig8_gradients.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "8", "shows": FIGURES["fig8_gradients"].title},
        ),
        pdf="results/figures/fig8_gradients.pdf",
        manifests=manifests(["results/figures/fig8_gradients.png", "results/figures/fig8_gradients.pdf"]),
    params:
        gradients=lambda w, input: repeated("--gradients", input.gradients),
        caption=FIGURES["fig8_gradients"].caption,
        code=code_hash("plot-gradients"),
    log:
        "logs/plot_gradients/fig8_gradients.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-gradients {params.gradients} --out {output.png} > {log} 2>&1"


rule plot_doses:
    input:
        tables=expand("results/tables/{item}.csv", item=["fig9a", "fig9b", "bound"]),
        manifests=manifests([f"results/tables/{item}.csv" for item in ("fig9a", "fig9b", "bound")]),
    output:
        png=report(
            "results/figures/fig9_doses.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "9", "shows": FIGURES["fig9_doses"].title},
        ),
        pdf="results/figures/fig9_doses.pdf",
        manifests=manifests(["results/figures/fig9_doses.png", "results/figures/fig9_doses.pdf"]),
    params:
        caption=FIGURES["fig9_doses"].caption,
        code=code_hash("plot-doses"),
    log:
        "logs/plot_doses/fig9_doses.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-doses --widths {input.tables[0]} --trained {input.tables[1]} --bound {input.tables[2]}"
        " --out {output.png} > {log} 2>&1"


rule paper:
    input:
        lambda w: paper_targets(),
