//! Empty: this package has benchmarks only. `make bench-rust` runs them.
