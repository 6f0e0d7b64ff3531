"""Networks measured on recordings of known truth, by the way that a user's file takes: not among the default targets."""


rule measure_yardstick:
    input:
        network=lambda w: ancient(network_of(w.model)),
        network_manifest=lambda w: manifests([network_of(w.model)]),
        waves=lambda w: ancient(wave_shards(cfg.yardsticks[w.yardstick].dataset)),
        depth=lambda w: ancient(depth_shards(cfg.yardsticks[w.yardstick].dataset)),
        manifests=lambda w: manifests(
            wave_shards(cfg.yardsticks[w.yardstick].dataset) + depth_shards(cfg.yardsticks[w.yardstick].dataset)
        ),
    output:
        folder=directory("results/yardsticks/{model}/{yardstick}"),
        manifest="results/yardsticks/{model}/{yardstick}.manifest.json",
    params:
        yardstick=lambda w: as_json(cfg.yardsticks[w.yardstick]),
        dataset=lambda w: as_json(cfg.datasets[cfg.yardsticks[w.yardstick].dataset]),
        specimen=lambda w: as_json(blocks_of(cfg.yardsticks[w.yardstick].dataset)["specimen"]),
        imaging=lambda w: as_json(blocks_of(cfg.yardsticks[w.yardstick].dataset)["imaging"]),
        waves=lambda w, input: repeated("--waves", input.waves),
        depth=lambda w, input: repeated("--depth", input.depth),
        code=code_hash("measure-yardstick"),
    log:
        "logs/measure_yardstick/{model}/{yardstick}.log",
    benchmark:
        "logs/benchmarks/measure_yardstick/{model}/{yardstick}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: costs.measure_yardstick(w.model, w.yardstick).mem_mb(attempt),
        runtime=lambda w, attempt, threads: costs.measure_yardstick(w.model, w.yardstick).runtime(attempt, threads),
        device=LIGHT_DEVICE,
    shell:
        "OMP_NUM_THREADS={threads} segdepth measure-yardstick --model {input.network:q}"
        " --yardstick {params.yardstick:q} --dataset {params.dataset:q} --specimen {params.specimen:q}"
        " --imaging {params.imaging:q} --name {wildcards.yardstick} {params.waves} {params.depth}"
        " --tables data/wave_tables --device {resources.device} --out {output.folder} > {log} 2>&1"


rule estimate_yardstick_observer:
    input:
        atoms=lambda w: ancient(atoms_shards(cfg.yardsticks[w.yardstick].dataset)),
        manifests=lambda w: manifests(atoms_shards(cfg.yardsticks[w.yardstick].dataset)),
    output:
        folder=directory("results/yardstick_observers/{yardstick}"),
        manifest="results/yardstick_observers/{yardstick}.manifest.json",
    params:
        yardstick=lambda w: as_json(cfg.yardsticks[w.yardstick]),
        dataset=lambda w: as_json(cfg.datasets[cfg.yardsticks[w.yardstick].dataset]),
        specimen=lambda w: as_json(blocks_of(cfg.yardsticks[w.yardstick].dataset)["specimen"]),
        beam=lambda w: as_json(cfg.beams[cfg.datasets[cfg.yardsticks[w.yardstick].dataset].beam]),
        imaging=lambda w: as_json(blocks_of(cfg.yardsticks[w.yardstick].dataset)["imaging"]),
        labels=lambda w: as_json(blocks_of(cfg.yardsticks[w.yardstick].dataset)["labels"]),
        atoms=lambda w, input: repeated("--atoms", input.atoms),
        code=code_hash("estimate-yardstick-observer"),
    log:
        "logs/estimate_yardstick_observer/{yardstick}.log",
    benchmark:
        "logs/benchmarks/estimate_yardstick_observer/{yardstick}.tsv"
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
        device=LIGHT_DEVICE,
    shell:
        "segdepth estimate-yardstick-observer --yardstick {params.yardstick:q} --dataset {params.dataset:q}"
        " --specimen {params.specimen:q} --beam {params.beam:q} --imaging {params.imaging:q} --labels {params.labels:q}"
        " --name {wildcards.yardstick} {params.atoms} --device {resources.device} --out {output.folder} > {log} 2>&1"


rule tabulate_yardsticks:
    input:
        measured=lambda w: ancient(yardstick_folders(w.model)),
        observers=ancient(yardstick_observers()),
        manifests=lambda w: manifests(yardstick_folders(w.model) + yardstick_observers()),
    output:
        csv=report(
            "results/tables/yardsticks_{model}.csv",
            caption="../report/yardsticks.rst",
            category="Tables",
            labels={"table": "yardsticks of {model}", "shows": "recordings of known truth"},
        ),
        md="results/tables/yardsticks_{model}.md",
        manifests=manifests(["results/tables/yardsticks_{model}.csv", "results/tables/yardsticks_{model}.md"]),
    params:
        measured=lambda w, input: repeated("--yardstick", input.measured),
        observers=lambda w, input: repeated("--observer", input.observers),
        code=code_hash("tabulate-yardsticks"),
    log:
        "logs/tabulate_yardsticks/{model}.log",
    conda:
        "../../envs/segdepth.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 15 * attempt,
    shell:
        "segdepth tabulate-yardsticks {params.measured} {params.observers} --out {output.csv} > {log} 2>&1"
