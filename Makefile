# `make test` needs Go alone. The tools of `make check` are pinned here and not in go.mod,
# which users read.
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

PKG      ?= ./...
TIMEOUT  ?= 15m
BENCH    ?= .
COUNT    ?= 6
FUZZTIME ?= 20s
SIMTIME  ?= 2m
COMPARE  ?=

# What users build on other systems, as far as it exists.
PORTABLE := $(patsubst %,./%/...,$(wildcard recipes fencing stilefx cmd))

.DEFAULT_GOAL := help
.PHONY: help test check fmt fmt-diff lint tidy-diff verify portable sizes sleeps bench microbench fuzz sim demo chaos soak mutants

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PKG=$(PKG) TIMEOUT=$(TIMEOUT) BENCH=$(BENCH) COUNT=$(COUNT) FUZZTIME=$(FUZZTIME) SIMTIME=$(SIMTIME) COMPARE=$(COMPARE) DURATION=$(DURATION) SEED=$(SEED)"

test: ## run all tests, shuffled, under the race detector where there is a C compiler
	@race=-race; set -- $$(go env CC); \
	if [ "$$(go env CGO_ENABLED)" != 1 ] || ! command -v "$$1" >/dev/null 2>&1; then \
		race=; echo "without the race detector: it needs CGO_ENABLED=1 and a C compiler"; \
	fi; \
	set -x; go test $$race -shuffle=on -timeout=$(TIMEOUT) $(PKG)
	# All of what is cut short under the race detector.
	go test -run '^TestThe(Model|Checker)|^TestOneSessionHoldsThousands|^TestClosedSessions' ./recipes/internal/line ./recipes/lock ./recipes/session

check: fmt-diff lint tidy-diff verify portable sizes sleeps ## look at layout, lint, imports, modules and other systems

fmt: ## put the code into the layout that check wants
	$(GOLANGCI) fmt

fmt-diff:
	$(GOLANGCI) fmt --diff

lint:
	$(GOLANGCI) run

tidy-diff:
	go mod tidy -diff

verify:
	go mod verify

portable:
ifneq ($(PORTABLE),)
	GOOS=darwin CGO_ENABLED=0 go vet $(PORTABLE)
	GOOS=windows CGO_ENABLED=0 go vet $(PORTABLE)
endif

sizes:
	@find . -name '*.go' -not -path './.*' -exec wc -l {} + | \
		awk '$$2 != "total" && $$1 > 400 { print $$2 ": " $$1 " lines, 400 at most"; bad = 1 } END { exit bad }'

# In a testing/synctest bubble a sleep takes no time: those files may.
sleeps:
	@! grep -n 'time\.Sleep(' /dev/null \
		$$(grep -rL --include='*_test.go' --exclude-dir='.[a-z]*' 'testing/synctest' .) || \
		{ echo "tests wait for what they need, not for time to pass"; exit 1; }

bench: ## compare with etcd's own recipes on one server: 8 minutes (COMPARE=--quick: one)
	go run ./benchmarks/compare $(COMPARE)

microbench: ## run the benchmarks of PKG COUNT times each, for benchstat
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 0 $(PKG)

fuzz: ## run every fuzz target for FUZZTIME
	@grep -rEo --include='*_test.go' --exclude-dir='.[a-z]*' '^func Fuzz[A-Za-z0-9_]*' . | sort | \
	awk -F ':func ' '{ sub("/[^/]*$$", "", $$1); print $$1, $$2 }' > .fuzz.out; \
	trap 'rm -f .fuzz.out' EXIT; \
	total=$$(wc -l < .fuzz.out); n=0; \
	while read -r dir name; do \
		n=$$((n + 1)); echo "[$$n/$$((total))] $$dir $$name for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null || exit 1; \
	done < .fuzz.out

sim: ## simulate locks under faults for SIMTIME, or the run of one SEED
ifdef SEED
	go test -count=5 -timeout 0 -run '^TestSimulation$$' ./recipes/internal/sim -sim.seed=$(SEED)
else
	go test -count=1 -timeout 0 -v -run '^TestSimulation$$' ./recipes/internal/sim -sim.time=$(SIMTIME) -sim.first=$$(date +%s)
endif

demo: ## show the recipes at work on a server of their own
	go run ./cmd/stile demo

# The harness starts itself as clients, so it is built and not run by go.
CHAOS := go build -o bin/chaos ./internal/chaos/cmd/chaos && bin/chaos $(if $(SEED),-seed $(SEED))

chaos: ## let things go wrong for DURATION=3m, and see whether the promises are kept
	@$(CHAOS) -duration $(or $(DURATION),3m)

soak: ## the same for DURATION=1h
	@$(CHAOS) -duration $(or $(DURATION),1h)

mutants: ## break the recipes on purpose, and see that chaos finds it
	@$(CHAOS) -mutants
