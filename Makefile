# `make` alone prints the targets. Each makes .venv by itself, once, and again when the dependencies change.
# More words for the command come in ARGS: make test ARGS="tests/learners/test_lane.py -x", make demo ARGS=--help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
SHAP := $(VENV)-shap
OTHERS := $(VENV)-others
CAPYMOA := $(VENV)-capymoa
UV := $(VENV)-uv
ROOMS := anabranch config detectors learners consumers evaluation serving operations commands
# Processes for the tests: one more than there are cores, since tests on Kafka wait more than they compute; four at most.
JOBS := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 3 ? n + 1 : 4)))
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help web web-if-npm demo test test-peers test-shap test-compiled compile check lint simulate bench growth dashboard-bench \
	serving detectors peers others capymoa accuracy faults golden kafka client \
	lock clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

web: $(READY) ## get what draws the dashboard's charts (uPlot, by npm), checked against its digests
	@$(BIN)/python -m operations.charts

demo: $(READY) web-if-npm ## run the demo: a stream that drifts, a swap, a follower; no server needed
	@$(BIN)/anabranch demo $(ARGS)

test: $(READY) ## run the tests
	@$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

test-peers: peers web-if-npm ## run the tests that need the libraries of others, which it installs
	@$(BIN)/pytest -m peers $(ARGS)

test-shap: $(SHAP)/.installed ## compare explanations with shap's, in an environment of its own
	@$(SHAP)/bin/python -m pytest --noconftest -m shap $(ARGS) tests/serving/test_shap.py

web-if-npm: $(READY)
	@command -v npm >/dev/null && $(BIN)/python -m operations.charts || true

check: lint test ## run what CI runs: lint, then the tests

lint: $(READY) ## check format, lint, types and the imports between the rooms
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

compile: $(READY) ## compile an event's path with mypyc, in a copy in build/compiled; needs a C compiler
	@$(BIN)/python -m commands.compiling $(ARGS)

test-compiled: compile ## run the tests of what is compiled there, and the golden runs
	@cd build/compiled && ../../$(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist worksteal \
		-m "not kafka and not peers" $(or $(ARGS),tests/learners tests/detectors tests/consumers tests/evaluation/test_estimator.py \
		tests/evaluation/test_guard_fuzz.py tests/whole/test_golden_runs.py)

simulate: $(READY) ## crash the learner in thousands of ways; make simulate SEEDS=10000
	@$(BIN)/anabranch simulate --seeds $(or $(SEEDS),3000) $(ARGS)

bench: $(READY) ## measure the throughput into benchmarks/RESULTS.md; ARGS=--pauses: the pauses for checkpoints alone
	@$(BIN)/python -m benchmarks.throughput --out benchmarks/RESULTS.md $(ARGS)

growth: $(READY) ## measure how an event's cost grows with features, classes, lanes and more; writes benchmarks/GROWTH.md
	@$(BIN)/python -m benchmarks.growth $(ARGS)

dashboard-bench: peers web ## measure what the dashboard costs, with 50 models over 24 hours; needs Java, Maven, Chromium
	@$(BIN)/python -m benchmarks.dashboard $(ARGS)

serving: $(READY) ## measure answers in a program and over HTTP, and how soon a new model answers; needs Java and Maven
	@$(BIN)/python -m benchmarks.serving $(ARGS)

detectors: $(READY) ## measure false alarms and delays of all detectors into benchmarks/DETECTORS.md
	@$(BIN)/python -m benchmarks.detectors $(ARGS)

peers: $(READY) | $(UV)/.installed ## install the libraries of others that comparisons and some tests use (the extra [peers])
	@$(call installed,$(VENV),constraints-peers.txt)

accuracy: peers ## compare with River's models on streams that drift; writes benchmarks/ACCURACY.md; two hours
	@$(BIN)/python -m benchmarks.accuracy $(ARGS)

faults: $(READY) ## kill, stop, fill and damage, on a real Kafka, and see that no event is lost or learned twice
	@$(BIN)/python -m benchmarks.faults $(ARGS)

golden: $(READY) ## rewrite what the golden runs say, after a change that is meant to change it; the diff shows what
	@PYTHONHASHSEED=0 PYTHONPATH=tests $(BIN)/python -m tests.whole.test_golden_runs $(ARGS)

kafka: $(READY) ## run a real Apache Kafka in the foreground; needs Java and Maven
	@exec $(BIN)/python -m commands.brokers.local $(ARGS)

client: $(READY) ## build the client's wheel into client/dist
	@$(BIN)/python -m build --wheel --no-isolation --outdir client/dist client

lock: ## resolve the dependencies again into constraints.txt; ARGS=--upgrade takes the newest
	@python3 -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install -q "uv>=0.13,<1"
	@$(VENV)-lock/bin/uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		-o constraints.txt $(ARGS)
	@$(VENV)-lock/bin/uv pip compile -q pyproject.toml --extra dev --extra peers --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--constraint constraints.txt -o constraints-peers.txt $(ARGS)
	@test -e constraints-shap.txt || cp constraints.txt constraints-shap.txt # its versions are preferred, not needed
	@$(VENV)-lock/bin/uv pip compile -q pyproject.toml --extra shap --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		-o constraints-shap.txt $(ARGS)
	@$(VENV)-lock/bin/uv pip compile -q benchmarks/others/requirements.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		-o constraints-others.txt $(ARGS)
	@echo "uv>=0.13,<1" | $(VENV)-lock/bin/uv pip compile -q - --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		-o constraints-uv.txt $(ARGS)
	@$(VENV)-lock/bin/uv pip compile -q benchmarks/others/capymoa.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		-o constraints-capymoa.txt $(ARGS)
	@rm -rf $(VENV)-lock

others: $(OTHERS)/.installed ## make an environment with what `make bench` compares with

capymoa: $(CAPYMOA)/.installed ## make an environment with CapyMOA, for `make accuracy` and `make bench`; needs Java

clean: ## remove .venv, caches and built files
	@rm -rf $(VENV) $(VENV)-lock $(SHAP) $(OTHERS) $(CAPYMOA) $(UV) build dist client/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call python,): the newest Python on the PATH that the project takes, as the shell variable `python`.
define python
python=$$(for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done); \
test -n "$$python" || { echo "make: Python 3.11 or newer is needed (Debian: python3.11-venv)" >&2; exit 1; }
endef

# $(call installed,folder,constraints): exactly these into a virtual environment. uv takes a tenth of pip's time, and
# keeps what it has unpacked for the next one; but it does not read pip's configuration, so that pip goes where it cannot.
define installed
{ test -x $(UV)/bin/uv && \
	$(UV)/bin/uv pip install -q --compile-bytecode --python $(1)/bin/python --require-hashes -r $(2) 2>/dev/null; } || \
$(1)/bin/pip install -q --disable-pip-version-check --require-hashes -r $(2)
endef

# $(call made,folder,constraints): a virtual environment with exactly these.
define made
$(call python,); echo "making $(1) with $$($$python --version)" && $$python -m venv --clear $(1) && \
$(call installed,$(1),$(2))
endef

# Where uv cannot be had, everything is installed by pip.
$(UV)/.installed: constraints-uv.txt
	@$(call python,); $$python -m venv --clear $(UV) && \
	{ $(UV)/bin/pip install -q --disable-pip-version-check --require-hashes -r constraints-uv.txt || true; }
	@touch $@

# Every file is checked against its hash; the build backend is among them, so nothing is fetched unpinned.
$(READY): pyproject.toml constraints.txt | $(UV)/.installed
	@$(call made,$(VENV),constraints.txt)
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The checkout is not installed there: it is tested from its folder.
$(SHAP)/.installed: constraints-shap.txt | $(UV)/.installed
	@$(call made,$(SHAP),constraints-shap.txt)
	@touch $@

$(OTHERS)/.installed: constraints-others.txt | $(UV)/.installed
	@$(call made,$(OTHERS),constraints-others.txt)
	@touch $@

$(CAPYMOA)/.installed: constraints-capymoa.txt | $(UV)/.installed
	@$(call made,$(CAPYMOA),constraints-capymoa.txt)
	@touch $@
