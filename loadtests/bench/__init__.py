"""The benchmarks: what the design promises, each measured against something else in one run."""
