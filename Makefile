# Each target sets up what it needs: a virtual environment in .venv with the requirements and this package.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check
# Compiled on all cores afterwards, which pip does on one. It must be done: where PYTHONDONTWRITEBYTECODE is set, every
# process would compile torch again. Some packages bring files that are no Python of this version.
COMPILE := -m compileall -qq -j 0
PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
# The benchmarks are a package beside the product, for checkouts only: nothing installs it.
BENCHMARKS := PYTHONPATH=$(CURDIR)/custom $(BIN)/python -m dsfedmed_benchmarks
# Several processes share the cores: more threads each only fight over them.
export OMP_NUM_THREADS ?= 1

SITES ?= data/demo
SHAPES ?= data/demo_shapes
DEMO ?= runs/demo
POC ?= runs/poc

.PHONY: help setup demo test slow-test check lint types docs wheel tracking-test page-test benchmark ablation bench bench-wire gpu-check label-setup \
	label-test poc deployment-test prov-test planted-faults audit secrets clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.done: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --no-compile -r requirements-dev.txt
	-$(BIN)/python $(COMPILE) $$($(BIN)/python $(PACKAGES))
	$(BIN)/python $(INSTALL) --no-deps -e .
	touch $@

setup: $(VENV)/.done   ## virtual environment, requirements and this package

$(SITES)/.done: | setup
	$(BIN)/dsfedmed demo-sites $(SITES) --public-shapes $(SHAPES)
	touch $@

data/demo_teacher.safetensors: $(SITES)/.done
	$(BIN)/dsfedmed pretrain-teacher --data $(SHAPES)/* --variant small --image-size 64 --steps 180 --out $@

demo: setup      ## hospitals whose devices differ: few rounds, none at all, one that leaves (`dsfedmed demo`)
	$(BIN)/dsfedmed demo --out $(DEMO)

# The suite by so many processes at once; tests/groups.py says which tests stay together.
WORKERS ?= 2

test: setup      ## all tests but the slow ones, simulated federations included
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

slow-test: setup ## the long rows of cases of which `make test` has one
	$(BIN)/python -m pytest -m slow

planted-faults: setup    ## known faults, planted one by one in a copy: do the tests notice them? (half an hour)
	$(BIN)/python -m tests.planted_faults.plant

deployment-test: setup   ## real server and hospitals with certificates, some of them killed (slow)
	$(BIN)/python -m pytest -m deployment tests/flare/deployment

prov-test: setup ## provision, start, submit as the lead, check the result; what must be refused is refused
	$(BIN)/python -m pytest -m deployment tests/flare/deployment/test_provisioned.py

poc: setup $(SITES)/.done data/demo_teacher.safetensors   ## server and two hospitals as real processes, end to end
	$(BIN)/dsfedmed poc all --work $(POC) --sites $(SITES) --unseen site_d --preset jobs/dsfedmed/presets/demo.yaml \
		--teacher data/demo_teacher.safetensors

# Torch and all else that both need is looked up in .venv, behind MONAI Label's own older packages: 2 GB instead of 8.
.venv-label/.done: requirements-label.txt requirements-label-nodeps.txt | setup
	test -x .venv-label/bin/python || $(PYTHON) -m venv .venv-label
	$(BIN)/python $(PACKAGES) > $$(.venv-label/bin/python $(PACKAGES))/beside.pth
	.venv-label/bin/python $(INSTALL) --no-compile -r requirements-label.txt
	.venv-label/bin/python $(INSTALL) --no-compile --no-deps -r requirements-label-nodeps.txt -e .
	-.venv-label/bin/python $(COMPILE) $$(.venv-label/bin/python $(PACKAGES))
	touch $@

label-setup: .venv-label/.done   ## MONAI Label in an environment of its own

label-test: setup label-setup    ## a real MONAI Label server over the bundles
	$(BIN)/python -m pytest tests/label

# The documents as a site, in an environment of its own.
.venv-docs/.done: requirements-docs.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python $(INSTALL) -r requirements-docs.txt
	touch $@

docs: setup .venv-docs/.done     ## the documents as a site in build/docs, with the pages made from the code
	$(BENCHMARKS) reference-pages --out docs/reference
	.venv-docs/bin/mkdocs build --strict

# Needs Debian's `chromium` (or Chrome) and npm, which fetches axe and what drives the browser.
tests/browser/node_modules: tests/browser/package-lock.json
	npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund
	touch $@

page-test: setup docs tests/browser/node_modules   ## report and documents in a real browser, by axe (PAGE_PICTURES=DIR)
	$(BIN)/python -m pytest -m browser tests/browser

wheel: setup     ## wheel and source archive in dist/
	$(BIN)/python -m hatchling build -d dist

.venv-tracking/.done: requirements-tracking.txt requirements-dev.txt
	test -x .venv-tracking/bin/python || $(PYTHON) -m venv .venv-tracking
	.venv-tracking/bin/python $(INSTALL) -r requirements-tracking.txt
	.venv-tracking/bin/python $(INSTALL) --no-deps -e .
	touch $@

tracking-test: .venv-tracking/.done   ## curves in the real MLflow and Weights & Biases (offline)
	.venv-tracking/bin/python -m pytest -m tracking tests/flare/receivers

lint: setup      ## ruff
	$(BIN)/ruff check custom jobs tests
	$(BIN)/ruff format --check custom jobs tests

types: setup     ## mypy --strict
	$(BIN)/mypy

# Tools of the two checks below, apart from what they look at.
.venv-audit/.done: requirements-audit.txt
	test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python $(INSTALL) -r requirements-audit.txt
	touch $@

audit: setup .venv-audit/.done   ## known advisories on what is installed in .venv (asks PyPI)
	.venv-audit/bin/pip-audit --skip-editable --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# Hashes of weights and tests' digests look random: only keys, tokens and passwords of known forms are looked for.
secrets: .venv-audit/.done       ## keys, tokens and passwords that were committed by mistake
	git ls-files -z -- ':!docs/results' | xargs -0 .venv-audit/bin/detect-secrets-hook \
		--disable-plugin Base64HighEntropyString --disable-plugin HexHighEntropyString

check: lint types test   ## everything CI could ask

# Every method on real sites, each held out in turn: make benchmark DATA=DIR PUBLIC="DIR/polyp DIR/skin"
# The same command resumes an interrupted benchmark. HOLD="site_x" and SEEDS="0" make it shorter; RECORDS=DIR keeps the
# records of complete runs, which another machine then need not repeat.
DATA ?= $(SITES)
HOLD ?=
SEEDS ?= 0 1 2
UNSEEN ?= site_d
TEACHER ?= runs/teacher_small_64.safetensors
WIDE_TEACHER ?= runs/teacher_wide_64.safetensors
TABLE ?= runs/benchmark
RECORDS ?=

runs/teacher_small_64.safetensors: | setup
	$(BIN)/dsfedmed pretrain-teacher --data $(PUBLIC) --variant small --image-size 64 --steps 5000 --out $@

runs/shapes/.done: | setup
	$(BIN)/dsfedmed demo-sites --public-shapes runs/shapes --public-count 3000
	touch $@

runs/teacher_wide_64.safetensors: runs/shapes/.done
	$(BIN)/dsfedmed pretrain-teacher --data $(PUBLIC) runs/shapes/polygons runs/shapes/rings runs/shapes/stars \
		--variant wide --image-size 64 --steps 16000 --out $@

benchmark: setup $(WIDE_TEACHER)   ## every method on DATA, each site held out, every seed: one table, one picture
	$(BENCHMARKS) compare-methods --sites $(DATA) --teacher $(WIDE_TEACHER) --seeds $(SEEDS) \
		$(if $(HOLD),--unseen $(HOLD)) $(if $(RECORDS),--records $(RECORDS)) --out $(TABLE)

ablation: setup $(WIDE_TEACHER)   ## DSFedMed, one changed setting a row (jobs/dsfedmed/ablation.yaml), by source validation
	$(BENCHMARKS) ablation --sites $(DATA) --teacher $(WIDE_TEACHER) --seeds $(SEEDS) \
		$(if $(HOLD),--unseen $(HOLD)) $(if $(RECORDS),--records $(RECORDS)) --out $(TABLE)

# Tables of time and memory: nothing else should run meanwhile. The last needs sites and a teacher, as `benchmark`.
BENCH ?= runs/bench
BENCH_PRESET ?= cpu

bench: setup $(TEACHER)   ## distillation, inference, sampling, server memory, NVFlare over bare loops (an hour)
	OMP_NUM_THREADS=2 $(BENCHMARKS) perf distillation --scale paper --samples 2 --out $(BENCH)
	$(BENCHMARKS) perf distillation --scale cpu --out $(BENCH)
	OMP_NUM_THREADS=2 $(BENCHMARKS) perf inference --out $(BENCH)
	$(BENCHMARKS) perf sampling --out $(BENCH)
	$(BENCHMARKS) perf memory --work $(BENCH)/memory --out $(BENCH)
	$(BENCHMARKS) perf overhead --sites $(SITES) --unseen $(UNSEEN) --preset $(BENCH_PRESET) --teacher $(TEACHER) \
		--work $(BENCH)/overhead --out $(BENCH)

bench-wire: setup   ## every byte of 100 rounds at the paper's scale (20 minutes, 10 GB of memory)
	$(BENCHMARKS) perf wire --sites 2 --set synthetic.per_site=150 --work $(BENCH)/wire --out $(BENCH)

gpu-check: setup ## one round of every stage at full size with random weights: seconds and peak memory on the GPU
	$(BENCHMARKS) gpu-check --out $(BENCH)

clean:           ## remove what the targets made, the environment aside
	rm -rf $(DEMO) $(SITES) $(SHAPES) data/demo_teacher.safetensors build dist
