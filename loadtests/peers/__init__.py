"""The peers of the benchmark: job libraries that do one equal Redis transaction per job."""
