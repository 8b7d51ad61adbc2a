# What people and CI run. Each target sets up .venv by itself; it needs Python 3.11 or newer and a package index.
#
#   make demo               sample videos through the built-in pipeline
#   make demo VIDEOS=DIR    your own videos; the results land beside them
#   make test               all tests            (make test ARGS='-k resume' for some of them)
#   make check              format, lint, types, and the rules of this repository
#   make format             let ruff lay out the code
#   make docs               write docs/cli.md again after an option has changed
#   make bench              us beside other runners, how fast: docs/performance.md     (ARGS='--only noop --quick')
#   make bench-pipeline     what a second of film costs: docs/performance-pipeline.md  (ARGS='--weights DIR ...')
#   make bench-behaviour    us beside other runners, when things change and die: docs/behaviour.md

PY := .venv/bin/python
export VIDEOS
.PHONY: demo test check format docs bench bench-pipeline bench-behaviour

demo: .venv/.demo
	@$(PY) -m tools.demo

test: .venv/.dev
	@sh tools/install_slurm.sh && $(PY) -m pytest -n auto --maxprocesses 8 $(ARGS)

check: .venv/.dev
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m pytest -q tests/test_repository.py tests/test_imports.py

format: .venv/.dev
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

docs: .venv/.dev
	@$(PY) -m tools.cli_page

bench bench-pipeline bench-behaviour: .venv/.dev
	@$(PY) -m benchmarks.$(if $(filter bench,$@),speed,$(@:bench-%=%)) $(ARGS)

.venv/.%: pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh $*
