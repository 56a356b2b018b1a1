# Every target builds .venv by itself; a stamp file says whether it is up to date.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: train test check docs bench clean
.DELETE_ON_ERROR:

.venv/stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

train: .venv/stamp  ## train a VAE on the embedded digits, into runs/digits
	$(BIN)/pyro-vae train --data digits --epochs 60 --out runs/digits --overwrite

test: .venv/stamp  ## the tests, without those marked slow, gpu or network
	$(BIN)/pytest -q -n auto -m "not slow and not gpu and not network" tests

check: .venv/stamp  ## lint, format, types, import direction, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_imports.py
	$(BIN)/pytest -q -n auto --doctest-modules pyro_vae

docs: .venv/stamp  ## the site, into docs/_build/html
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html
	@echo docs/_build/html/index.html

bench: .venv/stamp  ## the cost of a step, beside stock Pyro, plain PyTorch and NumPyro
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python tests/benchmarks/run.py

clean:
	rm -rf .venv runs dist build
