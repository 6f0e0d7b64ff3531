# `make run` builds every figure and table of config.yaml, `make test` runs the tests, `make help` lists all targets.
# Targets make .venv first where they need it.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
BIN := $(VENV)/bin
IN_VENV = PATH="$(CURDIR)/$(BIN):$$PATH"
SNAKEMAKE = $(IN_VENV) $(BIN)/snakemake --cores $(CORES)
PRESETS := workflow/presets
BENCHMARKS := $(PRESETS)/benchmarks.yaml
WORKSTATION := $(BENCHMARKS) $(PRESETS)/workstation.yaml
GPU := $(WORKSTATION) $(PRESETS)/gpu.yaml
PARTICLES := $(WORKSTATION) $(PRESETS)/particles.yaml

.PHONY: run plan test test-slurm test-faults install report convergence workstation gpu particles export familiarity benchmarks yardsticks paper film limits generalization ablation docs docs-results lint audit lock schema clean help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(VENV)/.installed  ## make .venv with all packages in their locked versions

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("SegDepth needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

plan: install    ## show what would run and why, one line per rule; nothing is made
	$(SNAKEMAKE) --dry-run --quiet rules

run: install     ## run the whole workflow with config.yaml, on all cores
	$(SNAKEMAKE)

report: run      ## make results/report.html with every figure and its caption
	$(IN_VENV) $(BIN)/snakemake --cores 1 --report results/report.html

convergence: install  ## measure error and time of the simulation's settings: results/figures/study_convergence.png, twenty minutes
	$(SNAKEMAKE) results/figures/study_convergence.png

workstation: install  ## train and measure a network for every dose: two hours on two cores
	$(SNAKEMAKE) --configfile $(WORKSTATION)

gpu: install     ## train a network like the bundled one, on a GPU with 16 cores: seven minutes
	$(SNAKEMAKE) --configfile $(GPU)

particles: install  ## train the bundled network for real particles: two hours on two cores
	$(SNAKEMAKE) --configfile $(PARTICLES)

MODEL := particles
BUNDLED := pipeline/segdepth/bundled
PACKAGED = $(BUNDLED)$(if $(filter particles,$(MODEL)),/particles)
WITH_PARTICLES = $(wildcard $(BUNDLED)/particles/network/network.json)

# the manifest and the record of its run
beside = cp $(1).manifest.json $(2).manifest.json; if [ -f $(1).run.json ]; then cp $(1).run.json $(2).run.json; fi

export: install  ## replace the package's network for real particles by the trained one, with its card (MODEL=gpu: that for thin crystals)
	$(if $(filter-out workstation gpu particles,$(MODEL)),$(error MODEL: got $(MODEL); allowed: workstation, gpu, particles))
	$(SNAKEMAKE) --configfile $(WORKSTATION) $(filter-out $(PRESETS)/workstation.yaml,$(PRESETS)/$(MODEL).yaml) -- results/export/$(MODEL)
	mkdir -p $(PACKAGED)
	rm -rf $(PACKAGED)/network.new
	cp -r results/export/$(MODEL) $(PACKAGED)/network.new
	rm -rf $(PACKAGED)/network
	mv $(PACKAGED)/network.new $(PACKAGED)/network
	$(call beside,results/export/$(MODEL),$(PACKAGED)/network)

familiarity: install  ## measure what the bundled networks' training images look like, to flag unfamiliar frames: an hour on two cores
	$(SNAKEMAKE) --configfile $(PRESETS)/familiarity.yaml -- results/familiarity/bundled.json
	cp results/familiarity/bundled.json $(BUNDLED)/familiarity.json
	$(call beside,results/familiarity/bundled.json,$(BUNDLED)/familiarity.json)
ifneq ($(WITH_PARTICLES),)
	$(SNAKEMAKE) --configfile $(PARTICLES) $(PRESETS)/familiarity_particles.yaml -- results/familiarity/bundled_particles.json
	cp results/familiarity/bundled_particles.json $(BUNDLED)/particles/familiarity.json
	$(call beside,results/familiarity/bundled_particles.json,$(BUNDLED)/particles/familiarity.json)
endif

benchmarks: install  ## measure the bundled networks on every benchmark: results/tables/benchmarks*.md, half an hour each
	$(SNAKEMAKE) --configfile $(BENCHMARKS) -- results/tables/benchmarks.csv results/figures/benchmark_bundled.png
	$(if $(WITH_PARTICLES),$(SNAKEMAKE) --configfile $(PARTICLES) $(PRESETS)/benchmarks_particles.yaml -- results/tables/benchmarks_particles.csv)

yardsticks: install  ## measure the bundled networks on simulated recordings: results/tables/yardsticks_bundled*.md, hours on two cores
	$(SNAKEMAKE) --configfile $(PARTICLES) $(PRESETS)/yardsticks.yaml -- results/tables/yardsticks_bundled.csv \
	  $(if $(WITH_PARTICLES),results/tables/yardsticks_bundled_particles.csv)

paper: install   ## make every table and figure of the paper, coarse, beside the paper's numbers: results/tables/paper.csv, half an hour
	$(SNAKEMAKE) --configfile $(PRESETS)/paper_quick.yaml -- paper

FILM_TABLES := $(foreach kind,scores dwell detectability,film_$(kind)_bundled_surface)

film: install    ## simulate a film with known truth and measure how well events in it are found: five minutes
	$(SNAKEMAKE) --configfile $(PRESETS)/film.yaml -- results/figures/fig12_film_bundled_surface.png \
	  results/figures/film_scores_bundled_surface.png $(FILM_TABLES:%=results/tables/%.csv)

limits: install  ## compute what can be counted at best, prediction sets, and where to record: hours on two cores
	$(SNAKEMAKE) --configfile $(BENCHMARKS) $(PRESETS)/limits.yaml -- results/sets/bundled/shifts.csv \
	  results/sets/bundled/few_electrons.csv results/figures/limit_map_thin.png \
	  $(foreach set,smooth rough,results/figures/limits_bundled_benchmark_$(set).png)

generalization: install  ## measure networks under other conditions than those of their training, five matrices: two hours on two cores
	$(SNAKEMAKE) --configfile $(PRESETS)/generalization.yaml -- \
	  $(foreach matrix,surface defocus tilt vibration physics,results/figures/generalization_$(matrix).png)

ABLATION := ablation options draws doses crystals variety

ablation: install  ## measure what each step of the training brings, six tables, many hours (make ablation ABLATION=options: one of them)
	$(SNAKEMAKE) --configfile $(WORKSTATION) $(PRESETS)/ablation.yaml -- $(ABLATION:%=results/tables/%.csv)

docs: install    ## build the documentation into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-results: install  ## copy the tables and figures that docs/ shows from results/, with their manifests, where they were made
	for name in table1 table1_widths generalization_vibration study_convergence benchmarks benchmarks_particles yardsticks_bundled yardsticks_bundled_particles yardsticks_joined $(ABLATION) $(FILM_TABLES); do for kind in csv md; do \
	  if [ -f results/tables/$$name.$$kind ]; then cp results/tables/$$name.$$kind* docs/results/tables/; fi; done; done
	for name in fig1_depth fig6_confusion fig7_calibration fig9_doses generalization_vibration montage study_convergence benchmark_bundled training_gpu training_particles fig12_film_bundled_surface film_scores_bundled_surface limits_bundled_benchmark_smooth limit_map_thin; do \
	  if [ -f results/figures/$$name.png ]; then cp results/figures/$$name.png* docs/images/; fi; done

test: install    ## run all tests
	$(IN_VENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile

test-slurm: install  ## run the lines of docs/how-to/cluster.md on a SLURM of its own: a few minutes; needs root and Debian
	$(IN_VENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/slurm -m slurm --timeout 1800

test-faults: install  ## test kills, full disks, flipped bits and simultaneous runs: half an hour or more; full disks need root
	$(IN_VENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -m faults -v --timeout 3600

lint: install    ## check style, and run Snakemake's own lint
	$(BIN)/ruff check pipeline tests benchmarks docs
	$(BIN)/ruff format --check pipeline tests benchmarks docs
	$(IN_VENV) $(BIN)/snakemake --lint

audit: install   ## list known vulnerabilities of the locked versions (asks the package index's advisory service)
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

schema: install  ## write workflow/config.schema.json anew after a change in pipeline/segdepth/config/
	$(BIN)/segdepth schema > workflow/config.schema.json

lock:            ## write constraints.txt anew from the newest versions that resolve
	$(PYTHON) -m venv .lock && .lock/bin/python -m pip install --quiet '.[dev]'
	( echo "# Versions that work together; written by 'make lock'."; \
	  .lock/bin/python -m pip freeze --exclude segdepth | sed 's/+cpu$$//' | grep -v ' @ ' ) > constraints.txt
	rm -rf .lock

clean:           ## remove everything that the workflow made (data, results, logs), not the environment
	rm -rf logs .snakemake site
	find data results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
