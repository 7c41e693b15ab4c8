"""Load tests, benchmarks and the peers that meterd is measured against."""
