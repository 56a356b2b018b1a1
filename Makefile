# Every target builds .venv by itself; a stamp file says whether it is up to date.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: train test check docs docs-gettext bench clean
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

# PYRO_VAE_SMOKE=1 cuts every experiment short; TRANSLATION=pt_BR builds that edition.
EDITION := $(if $(PYRO_VAE_SMOKE),smoke,html)$(if $(TRANSLATION),/$(TRANSLATION))
SPHINX = $(BIN)/sphinx-build -W -d docs/_build/doctrees/$(EDITION)/$@

.venv/docs-stamp: .venv/stamp
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

docs: .venv/docs-stamp  ## run every chapter, and build the site with them
	$(SPHINX) -b html $(if $(TRANSLATION),-D language=$(TRANSLATION)) docs docs/_build/$(EDITION)
	@echo docs/_build/$(EDITION)/index.html

docs-gettext: .venv/docs-stamp  ## what there is to translate; TRANSLATION=pt_BR starts or updates one
	$(SPHINX) -q -b gettext docs docs/_build/gettext
	$(if $(TRANSLATION),$(BIN)/sphinx-intl update -p docs/_build/gettext -d docs/locale -l $(TRANSLATION))

bench: .venv/stamp  ## the cost of a step, beside stock Pyro, plain PyTorch and NumPyro
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python tests/benchmarks/run.py

clean:
	rm -rf .venv runs dist build
