# Two commands: `make run` builds every figure and table, `make test` runs the tests. Both make .venv first.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test install report convergence workstation gpu ship benchmarks ablation readme lint lock schema clean help

help:            ## what there is to type
	@grep -E '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(VENV)/.installed  ## make .venv with the locked versions

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("SegDepth needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,report]'
	@touch $@

run: install     ## the whole workflow with config.yaml, on all cores
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES)

report: run      ## results/report.html with every figure and its caption
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores 1 --report results/report.html

convergence: install  ## error and time of the simulation's choices: results/figures/study_convergence.png, twenty minutes
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) results/figures/study_convergence.png

SNAKEMAKE = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES)
WORKSTATION := workflow/presets/workstation.yaml
GPU := workflow/presets/gpu.yaml

workstation: install  ## train and measure a network for every dose: two hours on two cores
	$(SNAKEMAKE) --configfile $(WORKSTATION)

gpu: install     ## the network that comes along, from 12 times as many samples on a GPU: seven minutes with 16 cores beside it
	$(SNAKEMAKE) --configfile $(WORKSTATION) $(GPU)

NETWORK := workstation

ship: install    ## put the workstation's network into the package, with its card (make ship NETWORK=gpu: the GPU's)
	$(if $(filter-out workstation gpu,$(NETWORK)),$(error NETWORK: got $(NETWORK); allowed: workstation, gpu))
	$(SNAKEMAKE) --configfile $(WORKSTATION) $(if $(filter gpu,$(NETWORK)),$(GPU)) -- pipeline/segdepth/bundled/network

benchmarks: install  ## the shipped network on every benchmark: results/tables/benchmarks.md, half an hour
	$(SNAKEMAKE) -- results/tables/benchmarks.csv results/figures/benchmark_bundled.png

ABLATION := ablation options draws doses crystals variety

ablation: install  ## what each step of the recipe brings, in six tables and many hours (make ablation ABLATION=options: one of them)
	$(SNAKEMAKE) --configfile $(WORKSTATION) workflow/presets/ablation.yaml -- $(ABLATION:%=results/tables/%.csv)

readme: run convergence benchmarks  ## put what the README shows into results/readme/ (ablation tables where they were made)
	mkdir -p results/readme
	for name in table1 study_convergence benchmarks $(ABLATION); do for kind in csv md; do \
	  if [ -f results/tables/$$name.$$kind ]; then cp results/tables/$$name.$$kind* results/readme/; fi; done; done
	for name in fig1_depth montage study_convergence benchmark_bundled training_gpu; do \
	  if [ -f results/figures/$$name.png ]; then cp results/figures/$$name.png* results/readme/; fi; done

test: install    ## all tests
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile

lint: install    ## style, and Snakemake's own lint
	$(BIN)/ruff check pipeline tests benchmarks
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint

schema: install  ## write workflow/config.schema.json anew after a change of config.py
	$(BIN)/segdepth schema > workflow/config.schema.json

lock:            ## write constraints.txt anew from the newest versions that resolve
	$(PYTHON) -m venv .lock && .lock/bin/python -m pip install --quiet '.[test,report]'
	( echo "# Versions that work together; written by 'make lock'."; \
	  .lock/bin/python -m pip freeze --exclude segdepth | sed 's/+cpu$$//' | grep -v ' @ ' ) > constraints.txt
	rm -rf .lock

clean:           ## remove everything that the workflow made (data, results, logs), not the environment
	rm -rf logs .snakemake
	find data results -mindepth 1 -maxdepth 1 ! -name README.md ! -name readme -exec rm -rf {} +
