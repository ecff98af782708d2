#!/usr/bin/env bash
# coverage.sh [TEST...]: writes the lines that the tests reach to target/coverage. With cargo-llvm-cov it builds the
# Rust crates with counters and includes them; without it, it covers the Python files only. `make coverage` calls it and
# sets VENV.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$VENV/bin/python
output=target/coverage
mkdir -p "$output"

pytest() {
    # In one process, so that it writes its counters at its end.
    "$python" -m coverage run --source=python/ferrio --data-file="$output/python" -m pytest --quiet "$@"
}

if cargo llvm-cov --version >/dev/null 2>&1; then
    export CARGO_TARGET_DIR=$PWD/target/llvm-cov
    # shellcheck source=/dev/null
    source <(cargo llvm-cov show-env --sh 2>/dev/null || cargo llvm-cov show-env --export-prefix)
    cargo llvm-cov clean --workspace
    cargo test --quiet --locked -p ferrio-sys -p ferrio-engine -p ferrio
    for manifest in crates/ferrio-python examples/rust-extension; do
        VIRTUAL_ENV=$VENV "$python" -m maturin develop --manifest-path $manifest/Cargo.toml --profile dev --locked --quiet
    done
    rm -f "$VENV"/.*extension-built-* # the next `make build` replaces the slow extensions
    pytest "$@" && status=0 || status=$?
    cargo llvm-cov report --html --output-dir "$output"
    cargo llvm-cov report --summary-only | tail -n 1
else
    echo "cargo-llvm-cov is not installed (cargo install cargo-llvm-cov): the Python files alone"
    make --silent build "$VENV/.example-extension-built-release" VENV="$VENV"
    pytest "$@" && status=0 || status=$?
fi
"$python" -m coverage html --quiet --data-file="$output/python" --directory="$output/python-html"
"$python" -m coverage report --data-file="$output/python"
exit "$status"
