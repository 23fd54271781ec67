# Everything that can be done with this tree. A target's comment is its help text.

GO ?= go

.DEFAULT_GOAL := help
.PHONY: help run test check torture fuzz bench compare guards deps

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start the example identity provider (a database file appears in this folder)
	$(GO) run ./examples/idp

test: ## vet and test; needs only Go, and says what it left out
	$(GO) vet ./...
	$(GO) test -short ./...
	@scripts/left-out

check: ## what CI runs: installs what is missing on Debian, leaves nothing out
	@scripts/check

torture: ## the long forms of kill -9, power loss, disks, clocks, slow clients, soak and more, about an hour (SCALE=10 for a tenth, ONLY=power for one)
	@scripts/torture

fuzz: ## fuzz each target for ten minutes of processor time, keep new inputs, add to scripts/fuzzed.tsv (SECONDS_EACH=60 for less, ONLY=FuzzMatch)
	@scripts/fuzz $(or $(SECONDS_EACH),600) $(ONLY)

bench: ## HTTP benchmarks on bbolt with real syncs, 1 and 32 callers
	$(GO) test -run '^$$' -bench . -benchmem ./integration/...

compare: ## our server beside its peers over HTTP: ratios, latency, memory, disk; under ten minutes (bench/README.md)
	@$(GO) -C bench run . -compare $(FLAGS)

guards: ## remove each guard of the engine in turn and show the test that turns red
	scripts/guards

deps: ## write deps.txt again: the modules that importing ./server links
	scripts/deps >deps.txt
