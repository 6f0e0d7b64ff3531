"""Figures and tables, each drawn from what is stored: an evaluation, a network, or a shard and its plan."""


rule plot_fig1:
    input:
        evaluation=ancient(figure_evaluation("dataset")),
        manifest=manifests([figure_evaluation("dataset")]),
    output:
        png=report(
            "results/figures/fig1_depth.png",
            caption="../report/fig1_depth.rst",
            category="Figures",
            labels={"figure": "1", "shows": "depth"},
        ),
        pdf="results/figures/fig1_depth.pdf",
        manifests=manifests(["results/figures/fig1_depth.png", "results/figures/fig1_depth.pdf"]),
    params:
        verb="plot-fig1",
        code=code_hash("segdepth.figures.fig1_depth"),
    log:
        "logs/plot_fig1/fig1_depth.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    shell:
        "segdepth {params.verb} --evaluation {input.evaluation} --out {output.png} > {log} 2>&1"


use rule plot_fig1 as plot_fig3 with:
    input:
        evaluation=ancient(figure_evaluation("dataset")),
        manifest=manifests([figure_evaluation("dataset")]),
    output:
        png=report(
            "results/figures/fig3_simulation.png",
            caption="../report/fig3_simulation.rst",
            category="Figures",
            labels={"figure": "3", "shows": "simulation"},
        ),
        pdf="results/figures/fig3_simulation.pdf",
        manifests=manifests(["results/figures/fig3_simulation.png", "results/figures/fig3_simulation.pdf"]),
    params:
        verb="plot-fig3",
        code=code_hash("segdepth.figures.fig3_simulation"),
    log:
        "logs/plot_fig3/fig3_simulation.log",


use rule plot_fig1 as plot_fig4 with:
    input:
        evaluation=ancient(figure_evaluation("dataset")),
        manifest=manifests([figure_evaluation("dataset")]),
    output:
        png=report(
            "results/figures/fig4_smoothing.png",
            caption="../report/fig4_smoothing.rst",
            category="Figures",
            labels={"figure": "4", "shows": "smoothing"},
        ),
        pdf="results/figures/fig4_smoothing.pdf",
        manifests=manifests(["results/figures/fig4_smoothing.png", "results/figures/fig4_smoothing.pdf"]),
    params:
        verb="plot-fig4",
        code=code_hash("segdepth.figures.fig4_smoothing"),
    log:
        "logs/plot_fig4/fig4_smoothing.log",


use rule plot_fig1 as plot_fig5 with:
    input:
        evaluation=ancient(figure_evaluation("dataset")),
        manifest=manifests([figure_evaluation("dataset")]),
    output:
        png=report(
            "results/figures/fig5_weights.png",
            caption="../report/fig5_weights.rst",
            category="Figures",
            labels={"figure": "5", "shows": "weights"},
        ),
        pdf="results/figures/fig5_weights.pdf",
        manifests=manifests(["results/figures/fig5_weights.png", "results/figures/fig5_weights.pdf"]),
    params:
        verb="plot-fig5",
        code=code_hash("segdepth.figures.fig5_weights"),
    log:
        "logs/plot_fig5/fig5_weights.log",


use rule plot_fig1 as plot_fig6 with:
    input:
        evaluation=ancient(figure_evaluation("confusion_dataset")),
        manifest=manifests([figure_evaluation("confusion_dataset")]),
    output:
        png=report(
            "results/figures/fig6_confusion.png",
            caption="../report/fig6_confusion.rst",
            category="Figures",
            labels={"figure": "6", "shows": "confusion"},
        ),
        pdf="results/figures/fig6_confusion.pdf",
        manifests=manifests(["results/figures/fig6_confusion.png", "results/figures/fig6_confusion.pdf"]),
    params:
        verb="plot-fig6",
        code=code_hash("segdepth.figures.fig6_confusion"),
    log:
        "logs/plot_fig6/fig6_confusion.log",


use rule plot_fig1 as plot_fig7 with:
    input:
        evaluation=ancient(figure_evaluation("dataset")),
        manifest=manifests([figure_evaluation("dataset")]),
    output:
        png=report(
            "results/figures/fig7_calibration.png",
            caption="../report/fig7_calibration.rst",
            category="Figures",
            labels={"figure": "7", "shows": "calibration"},
        ),
        pdf="results/figures/fig7_calibration.pdf",
        manifests=manifests(["results/figures/fig7_calibration.png", "results/figures/fig7_calibration.pdf"]),
    params:
        verb="plot-fig7",
        code=code_hash("segdepth.figures.fig7_calibration"),
    log:
        "logs/plot_fig7/fig7_calibration.log",


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
            caption="../report/montage.rst",
            category="Figures",
            labels={"figure": "montage", "shows": "structures and images"},
        ),
        pdf="results/figures/montage.pdf",
        manifests=manifests(["results/figures/montage.png", "results/figures/montage.pdf"]),
    params:
        code=code_hash("segdepth.figures.montage"),
    log:
        "logs/plot_montage/montage.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
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
            caption="../report/training.rst",
            category="Figures",
            labels={"figure": "training", "shows": "{model}"},
        ),
        pdf="results/figures/training_{model}.pdf",
        manifests=manifests(["results/figures/training_{model}.png", "results/figures/training_{model}.pdf"]),
    params:
        code=code_hash("segdepth.figures.training_curve"),
    log:
        "logs/plot_training/{model}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    shell:
        "segdepth plot-training --model {input.network} --out {output.png} > {log} 2>&1"


rule tabulate_table1:
    input:
        evaluations=ancient(tabulated()),
        manifests=manifests(tabulated()),
    output:
        csv=report(
            "results/tables/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
            labels={"table": "I", "shows": "accuracy beside the paper's"},
        ),
        tex="results/tables/table1.tex",
        manifests=manifests(["results/tables/table1.csv", "results/tables/table1.tex"]),
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        code=code_hash("segdepth.figures.table1"),
    log:
        "logs/tabulate_table1/table1.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "segdepth tabulate-table1 {params.evaluations} --out {output.csv} > {log} 2>&1"


rule tabulate_networks:
    input:
        evaluations=lambda w: ancient(table_evaluations(w.table)),
        models=lambda w: ancient(table_models(w.table)),
        limits=lambda w: ancient(table_limits(w.table)),
        manifests=lambda w: manifests(table_evaluations(w.table) + table_models(w.table) + table_limits(w.table)),
    output:
        csv=report(
            "results/tables/{table}.csv",
            caption="../report/network_table.rst",
            category="Tables",
            labels={"table": "{table}", "shows": "networks side by side"},
        ),
        md="results/tables/{table}.md",
        manifests=manifests(["results/tables/{table}.csv", "results/tables/{table}.md"]),
    params:
        table=lambda w: cfg.tables[w.table].as_json(),
        code=code_hash("segdepth.figures.network_table"),
    log:
        "logs/tabulate_networks/{table}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "segdepth tabulate-networks --table {params.table:q} --evaluations-root results/evaluation"
        " --models-root results/models --ideal-observer-root results/ideal_observer --out {output.csv} > {log} 2>&1"


rule plot_benchmark:
    input:
        evaluations=lambda w: ancient(benchmark_evaluations(w.model)),
        limit=lambda w: ancient(benchmark_limit(w.model)),
        manifests=lambda w: manifests([*benchmark_evaluations(w.model), benchmark_limit(w.model)]),
    output:
        png=report(
            "results/figures/benchmark_{model}.png",
            caption="../report/benchmark.rst",
            category="Figures",
            labels={"figure": "benchmark", "shows": "{model}"},
        ),
        pdf="results/figures/benchmark_{model}.pdf",
        manifests=manifests(["results/figures/benchmark_{model}.png", "results/figures/benchmark_{model}.pdf"]),
    params:
        evaluations=lambda w, input: repeated("--evaluation", input.evaluations),
        code=code_hash("segdepth.figures.benchmark"),
    log:
        "logs/plot_benchmark/{model}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    shell:
        "segdepth plot-benchmark {params.evaluations} --limit {input.limit} --out {output.png} > {log} 2>&1"
