"""Figures, each drawn from what is stored; `segdepth.figures.registry` lists them with their captions."""

from segdepth.figures.registry import FIGURES, figures_from


rule plot_figure:
    input:
        evaluation=lambda w: ancient(figure_evaluation(w.figure)),
        manifest=lambda w: manifests([figure_evaluation(w.figure)]),
    output:
        png=report(
            "results/figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda w: {"figure": w.figure, "shows": FIGURES[w.figure].title},
        ),
        pdf="results/figures/{figure}.pdf",
        manifests=manifests(["results/figures/{figure}.png", "results/figures/{figure}.pdf"]),
    params:
        caption=lambda w: FIGURES[w.figure].caption,
        code=lambda w: code_hash("plot-figure", FIGURES[w.figure].module),
    log:
        "logs/plot_figure/{figure}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    wildcard_constraints:
        figure="|".join(figures_from("evaluation")),
    shell:
        "segdepth plot-figure {wildcards.figure} --evaluation {input.evaluation} --out {output.png} > {log} 2>&1"


rule plot_montage:
    input:
        plan=ancient(montage_shards()["plan"]),
        atoms=ancient(montage_shards()["atoms"]),
        depth=ancient(montage_shards()["depth"]),
        images=ancient(montage_shards()["images"]),
        manifests=manifests(montage_shards().values()),
    output:
        png=report(
            "results/figures/montage.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "montage", "shows": "structures and images"},
        ),
        pdf="results/figures/montage.pdf",
        manifests=manifests(["results/figures/montage.png", "results/figures/montage.pdf"]),
    params:
        caption=FIGURES["montage"].caption,
        code=code_hash("plot-montage"),
    log:
        "logs/plot_montage/montage.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-montage --plan {input.plan} --atoms {input.atoms} --depth {input.depth}"
        " --images {input.images} --out {output.png} > {log} 2>&1"


rule plot_training:
    input:
        network=ancient("results/models/{model}"),
        manifest="results/models/{model}.manifest.json",
    output:
        png=report(
            "results/figures/training_{model}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "training", "shows": "{model}"},
        ),
        pdf="results/figures/training_{model}.pdf",
        manifests=manifests(["results/figures/training_{model}.png", "results/figures/training_{model}.pdf"]),
    params:
        caption=FIGURES["training"].caption,
        code=code_hash("plot-training"),
    log:
        "logs/plot_training/{model}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-training --model {input.network} --out {output.png} > {log} 2>&1"


rule plot_benchmark:
    input:
        evaluations=lambda w: ancient(benchmark_evaluations(w.model)),
        ideal_observer=lambda w: ancient(benchmark_observer(w.model)),
        manifests=lambda w: manifests([*benchmark_evaluations(w.model), benchmark_observer(w.model)]),
    output:
        png=report(
            "results/figures/benchmark_{model}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "benchmark", "shows": "{model}"},
        ),
        pdf="results/figures/benchmark_{model}.pdf",
        manifests=manifests(["results/figures/benchmark_{model}.png", "results/figures/benchmark_{model}.pdf"]),
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        caption=FIGURES["benchmark"].caption,
        code=code_hash("plot-benchmark"),
    log:
        "logs/plot_benchmark/{model}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-benchmark {params.evaluations} --ideal-observer {input.ideal_observer} --out {output.png}"
        " > {log} 2>&1"


rule plot_prediction:
    input:
        prediction=ancient("results/predictions/{prediction}"),
        manifest="results/predictions/{prediction}.manifest.json",
    output:
        png=report(
            "results/figures/prediction_{prediction}.png",
            caption="../report/figure.rst",
            category="Predictions",
            labels={"figure": "10", "shows": "{prediction}"},
        ),
        pdf="results/figures/prediction_{prediction}.pdf",
        manifests=manifests(["results/figures/prediction_{prediction}.png", "results/figures/prediction_{prediction}.pdf"]),
    params:
        caption=FIGURES["prediction"].caption,
        code=code_hash("plot-prediction"),
    log:
        "logs/plot_prediction/{prediction}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-prediction --prediction {input.prediction} --out {output.png} > {log} 2>&1"


rule plot_comparison:
    input:
        comparison=ancient("results/comparisons/{comparison}"),
        manifest="results/comparisons/{comparison}.manifest.json",
    output:
        png=report(
            "results/figures/comparison_{comparison}.png",
            caption="../report/figure.rst",
            category="Comparisons",
            labels={"micrograph": "{comparison}", "shows": "comparison"},
        ),
        pdf="results/figures/comparison_{comparison}.pdf",
        manifests=manifests(["results/figures/comparison_{comparison}.png", "results/figures/comparison_{comparison}.pdf"]),
    params:
        caption=FIGURES["comparison"].caption,
        code=code_hash("plot-comparison"),
    log:
        "logs/plot_comparison/{comparison}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-comparison --comparison {input.comparison} --out {output.png} > {log} 2>&1"


rule plot_convergence:
    input:
        table=ancient("results/tables/study_convergence.csv"),
        manifest=manifests(["results/tables/study_convergence.csv"]),
    output:
        png=report(
            "results/figures/study_convergence.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "convergence", "shows": "error and time of the simulation"},
        ),
        pdf="results/figures/study_convergence.pdf",
        manifests=manifests(["results/figures/study_convergence.png", "results/figures/study_convergence.pdf"]),
    params:
        caption=FIGURES["convergence"].caption,
        code=code_hash("plot-convergence"),
    log:
        "logs/plot_convergence/study_convergence.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1500 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth plot-convergence --table {input.table} --out {output.png} > {log} 2>&1"
