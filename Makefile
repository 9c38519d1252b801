# Set-up, demonstration and tests; everything else is `snakemake`.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env slurm init demo test test-slurm lint lock docs wheel clean

env: .venv/ready

# Jobs start three times slower without compiled bytecode, and kernels are compiled once here
# rather than by the first jobs.
.venv/ready: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make env PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement envs/requirements.txt
	$(BIN)/python -m compileall -q -j 0 .venv lib || true
	PYTHONPATH=lib $(BIN)/python -m snakewebb.kernels
	touch $@

# What a cluster that runs SLURM needs besides; kept apart because every start of Snakemake
# would wait for it.
slurm: .venv/slurm

.venv/slurm: .venv/ready envs/slurm.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement envs/slurm.txt
	touch $@

# A configuration for a folder of exposures: make init DATA=<folder>
init: env
	PYTHONPATH=lib $(BIN)/python -m snakewebb.workflow.init $(DATA)

demo: env
	bash demo.sh $(CORES)

test: env
	$(BIN)/python -m pytest -q -n $(CORES) --dist loadfile

# On a real SLURM of one node, started on the loopback: as root, with Debian's packages.
test-slurm: slurm
	command -v slurmctld slurmd munged > /dev/null || { apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends slurm-wlm munge; }
	$(BIN)/python -m pytest -v -m slurm tests/workflow/test_slurm.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/mypy lib/snakewebb

# The locks: names, versions and hashes, one for all Pythons from 3.11 on.
COMPILE := uv pip compile --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header
lock:
	$(COMPILE) envs/requirements.in -o envs/requirements.txt
	$(COMPILE) --constraint envs/requirements.txt envs/slurm.in -o envs/slurm.txt
	$(COMPILE) --constraint envs/requirements.txt envs/docs.in -o envs/docs.txt

# What draws the pages of the library's modules, in docs/api; no run needs it.
.venv/docs: .venv/ready envs/docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement envs/docs.txt
	touch $@

# What is not told: of NamedTuples pdoc looks for types in the wrong module, and shows their names.
docs: .venv/docs
	PYTHONPATH=lib $(BIN)/python -m snakewebb.workflow.config config/schema.yaml > config/README.md
	PYTHONPATH=lib $(BIN)/python -m snakewebb.io.make_schema_table > lib/snakewebb/io/schema_table.py
	PYTHONPATH=lib $(BIN)/python -W "ignore:Error parsing type annotation" -m pdoc --docformat numpy --output-directory docs/api snakewebb

wheel: env
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf .venv demo dist build docs/api
