# Each target sets up what it needs: a virtual environment in .venv with the requirements and this package.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Several processes share the cores: more threads each only fight over them.
export OMP_NUM_THREADS ?= 1

SITES ?= data/demo
SHAPES ?= data/demo_shapes
DEMO ?= runs/demo

.PHONY: help setup demo test check lint types benchmark clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.done: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

setup: $(VENV)/.done   ## virtual environment, requirements and this package

$(SITES)/.done: | setup
	$(BIN)/dsfedmed demo-sites $(SITES) --public-shapes $(SHAPES)
	touch $@

data/demo_teacher.safetensors: $(SITES)/.done
	$(BIN)/dsfedmed pretrain-teacher --data $(SHAPES)/* --variant small --image-size 64 --minutes 1.2 --out $@

demo: setup data/demo_teacher.safetensors   ## a whole federation on made-up sites, with report, in minutes
	$(BIN)/python jobs/dsfedmed/job.py --sites $(SITES) --unseen site_d --preset demo \
		--teacher data/demo_teacher.safetensors --server-threads 2 --out $(DEMO)

test: setup      ## all tests, real NVFlare processes included
	$(BIN)/python -m pytest

lint: setup      ## ruff
	$(BIN)/ruff check custom jobs tests
	$(BIN)/ruff format --check custom jobs tests

types: setup     ## mypy --strict
	$(BIN)/mypy

check: lint types test   ## everything CI could ask

# Real sites, several seeds: make benchmark SITES=DIR UNSEEN=SITE PUBLIC="DIR/polyp DIR/skin" NAME=ultrasound
UNSEEN ?= site_d
NAME ?= benchmark
SEEDS ?= 0 1 2
TEACHER ?= runs/teacher_small_64.safetensors

runs/teacher_small_64.safetensors: | setup
	$(BIN)/dsfedmed pretrain-teacher --data $(PUBLIC) --variant small --image-size 64 --steps 5000 --out $@

benchmark: setup $(TEACHER)   ## the cpu preset on SITES for every seed, and one table
	for seed in $(SEEDS); do \
		$(BIN)/python jobs/dsfedmed/job.py --sites $(SITES) --unseen $(UNSEEN) --preset cpu --seed $$seed \
			--teacher $(TEACHER) --server-threads 2 --out runs/$(NAME)-$$seed || exit 1; \
	done
	$(BIN)/dsfedmed table $(foreach seed,$(SEEDS),runs/$(NAME)-$(seed)) --out runs/$(NAME).md

clean:           ## remove what the targets made, the environment aside
	rm -rf $(DEMO) $(SITES) $(SHAPES) data/demo_teacher.safetensors build dist
