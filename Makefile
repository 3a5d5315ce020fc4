# Every target sets up what it needs, inside the checkout: .venv holds hatch, .hatch its environments.
HATCH = hatch==1.18.2
# The name carries the requirement, so that a changed pin makes .venv anew.
SETUP = .venv/$(HATCH).stamp

# Passed on to pytest by quick, test, test-all and coverage, to benchmarks/run.py by bench, and to Zensical by docs.
ARGS =

.DEFAULT_GOAL = help
.PHONY: help setup demo quick test test-all coverage check format docs bench bench-quality bench-gateway build clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(SETUP): scripts/bootstrap
	@scripts/bootstrap '$(HATCH)'
	@touch '$@'

setup: $(SETUP) ## make .venv with hatch; the other targets do this by themselves

demo: build ## install the wheels into a bare environment and route the example queries
	@scripts/demo.sh

quick: $(SETUP) ## run the tests that start no process, open no connection and need no torch: within a minute
	@scripts/test.sh quick $(ARGS)

test: $(SETUP) ## run the tests on Python 3.11 and on the oldest found; ARGS="-k name" is passed to pytest
	@scripts/test.sh most $(ARGS)

test-all: $(SETUP) ## run those marked "full" too, and what needs no torch on every Python found
	@scripts/test.sh all $(ARGS)

coverage: $(SETUP) ## run the whole suite once and show which lines it leaves out
	scripts/in-env default pytest -n 4 --cov --cov-report=term $(ARGS)

check: $(SETUP) ## ruff, formatting and mypy, changing nothing
	scripts/in-env lint ruff check
	scripts/in-env lint ruff format --check
	scripts/in-env default mypy

format: $(SETUP) ## format the code and apply ruff's safe fixes
	scripts/in-env lint ruff check --fix-only
	scripts/in-env lint ruff format

docs: $(SETUP) ## build the documentation into site/; ARGS=serve shows it while you write
	scripts/in-env default python -m zensical $(or $(ARGS),build --clean --strict)

bench: $(SETUP) ## run the benchmarks; ARGS is passed to benchmarks/run.py
	scripts/in-env default python benchmarks/run.py $(ARGS)

bench-quality: $(SETUP) ## train and evaluate routers on real outcomes, where they lie beside the project
	scripts/in-env default python benchmarks/quality.py $(ARGS)
	scripts/in-env default python benchmarks/trained.py

bench-gateway: $(SETUP) ## measure the gateway beside LiteLLM and a bare pass-through; needs nginx and wrk
	scripts/in-env default python benchmarks/gateway.py $(ARGS)

build: $(SETUP) ## build the sdist and wheel of every package into dist/
	@rm -rf dist
	scripts/hatch build --all

clean: ## remove all that the other targets made, environments included
	rm -rf .venv .hatch .hypothesis .pytest_cache .ruff_cache .coverage .cache build dist htmlcov site
	find packages tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || :
