# Long runs of generated programs against the labelled interpreter: DUAL_PROGRAMS, DUAL_SEED.
DUAL_PROGRAMS ?= 50000
DUAL_SEED ?= 0

.PHONY: fuzz-dual

fuzz-dual: $(VENV)/.dev  ## Compare generated programs with CPython and with stored runs of themselves
	@$(BIN)/python tests/fuzz/dual.py --programs $(DUAL_PROGRAMS) --seed $(DUAL_SEED)
