"""What tools/benchmark.py measures, of which `make bench` writes docs/benchmarks.md: ratios of things run in turn."""
