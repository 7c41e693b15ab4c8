"""What load tests, benchmarks and peers share."""
