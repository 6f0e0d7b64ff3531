"""Tables: our networks beside the paper's, and side by side."""


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
        code=code_hash("tabulate-table1"),
    log:
        "logs/tabulate_table1/table1.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth tabulate-table1 {params.evaluations} --out {output.csv} > {log} 2>&1"


rule tabulate_networks:
    input:
        evaluations=lambda w: ancient(table_evaluations(w.table)),
        models=lambda w: ancient(table_models(w.table)),
        observers=lambda w: ancient(table_observers(w.table)),
        manifests=lambda w: manifests(table_evaluations(w.table) + table_models(w.table) + table_observers(w.table)),
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
        table=lambda w: as_json(cfg.tables[w.table]),
        code=code_hash("tabulate-networks"),
    log:
        "logs/tabulate_networks/{table}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth tabulate-networks --table {params.table:q} --evaluations-root results/evaluation"
        " --models-root results/models --ideal-observer-root results/ideal_observer --out {output.csv} > {log} 2>&1"
