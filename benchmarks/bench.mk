# Benchmarks: side by side on this machine, results in benchmarks/RESULTS.md.
# Peers are installed into .bench/ on first use; set BENCH_HOME to keep them elsewhere.
BENCH_PYTHON ?= .venv/bin/python
BENCH_ARGS ?=

.PHONY: bench bench-full bench-install bench-stacks

bench: ## measure against the other gateways (about 10 minutes once installed)
	$(BENCH_PYTHON) benchmarks/run.py --profile quick $(BENCH_ARGS)

bench-full: ## the same with long runs and more repetitions (about 90 minutes)
	$(BENCH_PYTHON) benchmarks/run.py --profile full $(BENCH_ARGS)

bench-install: ## fetch wrk, nginx and the peers, measure nothing
	$(BENCH_PYTHON) benchmarks/run.py --install-only

bench-stacks: ## compare HTTP server stacks for Python (docs/decisions/0002-http-server.md)
	$(BENCH_PYTHON) benchmarks/server_stacks.py $(BENCH_ARGS)
