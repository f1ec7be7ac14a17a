# Drives two coding programs, Claude Code and Codex CLI, against a real server on loopback.
# They are fetched into .clients/ on first use; set CLIENTS_HOME to keep them elsewhere. One
# that cannot be fetched is skipped, with the reason.
CLIENTS_HOME ?= .clients
export CLIENTS_HOME

.PHONY: record-clients clients-install

test-clients: clients-install  ## Run Claude Code and Codex CLI against a real server (fetches them once)
	@$(BIN)/python -m pytest -m clients -rs tests/clients

record-clients: clients-install  ## The same, and record what they send in tests/golden/clients
	@CLIENTS_RECORD=1 $(BIN)/python -m pytest -m clients -rs tests/clients

clients-install: $(VENV)/.dev
	@$(BIN)/python tests/clients/fetch.py $(CLIENTS_HOME)
