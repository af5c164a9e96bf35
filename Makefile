# The commands of the README. Each makes what it needs; all work inside .venv, so that an
# externally managed system Python (PEP 668) is left alone.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
BENCH ?= bench
BASE ?= main
# what a comparison times, and how much slower is too slow: CI's machines are noisy
COMPARED ?= digits,digits-batch-1,deep-batch-32,online,sparse,lbfgs,predict-1,predict-784-4096,fit-iris,partial-fit
MAX_RATIO ?= 1.3
TESTS ?=
EXTRAS = test
STRESS_SECONDS ?= 120
# all that is built here has what only the tests call beside the engines; no release has it
export CMLP_TESTING ?= 1

.PHONY: quickstart test test-quick coverage lint types bench compare growth debug asan tsan compiler \
	cross cross-tools lowest sklearn-versions prereleases requirements clean

quickstart: $(VENV)/.installed
	$(BIN)/python examples/quickstart.py

test: EXTRAS = test,clients,onnx
test: $(VENV)/.tested
	$(BIN)/python -m pytest -n 2

# the same without what takes seconds each: under a minute, for work in between
test-quick: EXTRAS = test,clients,onnx
test-quick: $(VENV)/.tested
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not sanitizer"

# lines of Python and of the engine (baseline, gcov) that the tests run; tests/README.md has the
# figures. The suite takes its time in such a build
coverage:
	$(MAKE) .venv-coverage/.tested VENV=.venv-coverage CMLP_COVERAGE=1 CMLP_VARIANTS=baseline
	.venv-coverage/bin/pip install --quiet --constraint requirements-dev.txt --group coverage
	find build/coverage-* -name "*.gcda" -delete
	-.venv-coverage/bin/python -m pytest -q -n 2 $(TESTS) --cov
	.venv-coverage/bin/gcovr --config .gcovr

lint: $(VENV)/.linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint src
	$(BIN)/clang-format --dry-run --Werror src/cmlp/_core/*.h

# what is installed: every public type known, a program of a user, the stubs of the engine. The
# checkers look for it by the python on PATH; an engine is compared if it can run here
types: $(VENV)/.typed
	cd tests/house/type_checks && export PATH="$(CURDIR)/$(BIN):$$PATH" && \
	pyright --verifytypes cmlp --ignoreexternal && \
	pyright user_program.py && \
	mypy --strict user_program.py && \
	stubtest --allowlist stubtest_allowlist.txt $$(python compiled_modules.py)

# `make bench BENCH=bench,rivals` measures PyTorch, JAX and ONNX Runtime too
bench: $(VENV)/.installed
	$(BIN)/pip install --quiet ".[$(BENCH)]"
	$(BIN)/python -m benchmarks.run

# a commit beside what is checked out, in turns: `make compare BASE=v0.1.0`
compare: EXTRAS = test,clients,onnx
compare: $(VENV)/.tested
	$(BIN)/python -m benchmarks.compare $(BASE) --problems $(COMPARED) --dtype float32 \
		--turns 7 --max-ratio $(MAX_RATIO)

# how a step grows, its table and plot in docs/performance.md; GROWTH=--quick for a look at it.
# It says so and goes on where cmlp is slower than another system.
growth: $(VENV)/.installed
	$(BIN)/pip install --quiet ".[$(BENCH)]"
	-$(BIN)/python -m benchmarks.growth $(GROWTH)
	$(BIN)/python -m benchmarks.report docs/performance.md \
		--results benchmarks/results/growth.json --plots docs

# every check of Cython on, no optimisation; in an environment of its own
debug:
	$(MAKE) test VENV=.venv-debug CMLP_DEBUG=1

# memory errors and undefined behaviour, then data races: gcc's sanitizers on Linux, no
# suppressions, in environments of their own. `make asan TESTS=tests/core` runs a part.
asan:
	$(MAKE) .venv-asan/.tested VENV=.venv-asan CMLP_SANITIZE=address
	# without it joblib calls pgrep, which hangs with the sanitizer's runtime in it
	.venv-asan/bin/pip install --quiet psutil
	.venv-asan/bin/python tests/sanitized.py address -m pytest $(TESTS)

# races are the same in every engine: the baseline's is soon built
tsan:
	$(MAKE) .venv-tsan/.tested VENV=.venv-tsan CMLP_SANITIZE=thread CMLP_VARIANTS=baseline
	.venv-tsan/bin/python tests/sanitized.py thread -m pytest \
		tests/core/test_pool.py $(addprefix tests/robustness/test_,sanitizers.py concurrency.py threads.py)
	.venv-tsan/bin/python tests/sanitized.py thread tests/stress.py $(STRESS_SECONDS)

# C files of fitted estimators by compilers for other machines, run under qemu and simavr; Debian's
# packages, which are installed if they are missing
CROSS = gcc-avr avr-libc gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-arm-linux-gnueabihf \
	libc6-dev-armhf-cross qemu-user simavr clang g++
cross: EXTRAS = test,clients,onnx
cross: cross-tools $(VENV)/.tested
	CMLP_CROSS=1 $(BIN)/python -m pytest -q tests/forms -k "without_a_warning or on_arm or avr"

cross-tools:
	dpkg --status $(CROSS) > /dev/null 2>&1 || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends $(CROSS) > /dev/null; }

# the engine's tests on a build by another compiler that takes every warning for an error
compiler:
	$(MAKE) .venv-$(CC)/.tested VENV=.venv-$(CC) CC=$(CC) CMLP_WERROR=1
	.venv-$(CC)/bin/python -m pytest -q -n 2 tests/core tests/robustness/test_numbers.py

# the tests on exactly the lowest versions that pyproject.toml admits, without those of what does not
# know them (the kernels, sources and documents); those beside
# scikit-learn on pre-releases
lowest: .venv-lowest/bin/python
	.venv-lowest/bin/pip install --quiet ".[test]" $$(.venv-lowest/bin/python tests/lowest.py)
	.venv-lowest/bin/python -m pytest -q -n 2 --ignore=tests/house --ignore=tests/core

# models and pipelines of scikit-learn's that cmlp takes over, beside each version that it knows; the
# newest is that of `make test`. Nothing but scikit-learn itself differs: no build, 20 s each
SKLEARN_VERSIONS ?= 1.7 1.8
sklearn-versions: EXTRAS = test,clients
sklearn-versions: $(VENV)/.tested $(SKLEARN_VERSIONS:%=build/sklearn-%/.installed)
	for version in $(SKLEARN_VERSIONS); do \
		PYTHONPATH=build/sklearn-$$version $(BIN)/python -m pytest -q \
			$(addprefix tests/forms/test_,sklearn_form.py fuse.py fuse_numbers.py) || exit 1; done

build/sklearn-%/.installed: $(BIN)/python
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/sklearn-$* "scikit-learn==$*.*"
	touch $@

prereleases: .venv-prereleases/bin/python
	.venv-prereleases/bin/pip install --quiet --pre ".[test]"
	.venv-prereleases/bin/pip list
	.venv-prereleases/bin/python -m pytest -q -n 2 \
		$(addprefix tests/compatibility/test_,compare_sklearn.py sklearn_suite.py estimator_checks.py) \
		tests/files/test_files.py

.venv-%/bin/python:
	$(MAKE) $@ VENV=.venv-$*

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

SOURCES = pyproject.toml setup.py $(wildcard src/cmlp/*.py src/cmlp/_core/*)

# pip builds in a clean environment of its own; an unchanged engine is not compiled again
$(VENV)/.installed: $(BIN)/python $(SOURCES)
	CMLP_DEBUG=$(CMLP_DEBUG) $(BIN)/pip install --quiet .
	touch $@

$(VENV)/.tested: $(BIN)/python $(SOURCES)
	CMLP_DEBUG=$(CMLP_DEBUG) $(BIN)/pip install --quiet ".[$(EXTRAS)]"
	touch $@

$(VENV)/.typed: $(BIN)/python $(SOURCES)
	CMLP_DEBUG=$(CMLP_DEBUG) $(BIN)/pip install --quiet ".[types]"
	touch $@

$(VENV)/.linted: $(BIN)/python pyproject.toml requirements-dev.txt
	$(BIN)/pip install --quiet --constraint requirements-dev.txt --group lint
	touch $@

# newest versions of the tools, to be read and committed
requirements: $(BIN)/python
	$(BIN)/pip install --quiet pip-tools dependency-groups
	$(BIN)/python -m dependency_groups dev | CUSTOM_COMPILE_COMMAND="make requirements" \
		$(BIN)/pip-compile - --quiet --upgrade --strip-extras --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --output-file requirements-dev.txt

clean:
	rm -rf build dist .venv .venv-* src/*.egg-info
