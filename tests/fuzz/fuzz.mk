# Long runs of generated programs against the labelled interpreter: DUAL_PROGRAMS, DUAL_SEED.
DUAL_PROGRAMS ?= 50000
DUAL_SEED ?= 0

.PHONY: fuzz-dual

fuzz-dual: $(VENV)/.dev  ## Compare generated programs with CPython and with stored runs of themselves
	@$(BIN)/python tests/fuzz/dual.py --programs $(DUAL_PROGRAMS) --seed $(DUAL_SEED)

.PHONY: schemathesis
schemathesis: $(VENV)/.dev  ## Fuzz the chat API by its own OpenAPI document (SCHEMATHESIS_EXAMPLES of each operation)
	@SCHEMATHESIS_EXAMPLES=$${SCHEMATHESIS_EXAMPLES:-200} $(BIN)/python -m pytest tests/contract/chat/test_chat_schema.py -n 2
