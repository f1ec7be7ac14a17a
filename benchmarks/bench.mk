# Benchmarks: side by side on this machine, results in benchmarks/RESULTS.md.
# Peers are installed into .bench/ on first use; set BENCH_HOME to keep them elsewhere.
# BENCH_ARGS reaches the program: make bench BENCH_ARGS="--only interlock,envoy,json"
BENCH_ARGS ?=

.PHONY: bench bench-full bench-install bench-stacks bench-security bench-security-install

bench: $(VENV)/.run  ## Measure against other gateways on this machine (about 11 minutes once installed)
	@$(BIN)/python benchmarks/run.py --profile quick $(BENCH_ARGS)

bench-full: $(VENV)/.run  ## The same with long runs and more repetitions (about an hour)
	@$(BIN)/python benchmarks/run.py --profile full $(BENCH_ARGS)

bench-install: $(VENV)/.run  ## Fetch wrk, nginx and the peers, measure nothing
	@$(BIN)/python benchmarks/run.py --install-only

bench-stacks: $(VENV)/.run  ## Compare HTTP server stacks for Python
	@$(BIN)/python benchmarks/server_stacks.py $(BENCH_ARGS)

bench-security: $(VENV)/.run  ## Attack agents with AgentDojo's tasks and a fully compromised model (about 20 minutes)
	@$(BIN)/python -m benchmarks.agentdojo $(BENCH_ARGS)

bench-security-install: $(VENV)/.run  ## Fetch the locked extra bench-security, measure nothing
	@$(BIN)/python -m benchmarks.agentdojo --install-only

.PHONY: bench-events
bench-events: $(VENV)/.run  ## Measure the event log and 2,000 live streams (about 3 minutes)
	@$(BIN)/python benchmarks/events.py $(BENCH_ARGS)

.PHONY: kill-replies
kill-replies: $(VENV)/.dev  ## Kill servers 200 times while agents answer (BENCH_ARGS="--store postgresql": two, and Redis)
	@$(BIN)/python -m benchmarks.kill_replies $(BENCH_ARGS)

.PHONY: bench-console
bench-console: $(VENV)/.dev  ## Measure the console in Chromium and beside a million decisions (about 8 minutes)
	@PYTHONPATH=. $(BIN)/python -m benchmarks.console $(BENCH_ARGS)

.PHONY: bench-login
bench-login: $(VENV)/.dev  ## Guess 10,000 passwords from 200 addresses, and look who notices (about 2 minutes)
	@$(BIN)/python -m benchmarks.login $(BENCH_ARGS)
