SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell sed -n 's/^const release = "\(.*\)"/\1/p' version.go)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE    ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
ARGS    ?=

# Without the folder in what is compiled, all clones and worktrees share what one of them has built.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath

TOOL  := go tool -modfile=.ci/tools.mod
STAGE := @.ci/stage
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

##@ Every day

.PHONY: help
help: ## What there is to make
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run the server; make run ARGS='--listen :5000' for flags
	@go run . $(ARGS)

.PHONY: build
build: ## Build ./restante, which knows its version and commit
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o restante .

.PHONY: generate
generate: web/node_modules/.package-lock.json ## Generate api/ and the client's types from openapi/openapi.yaml, the client's bundle and the pages
	go generate ./...
	npm --prefix web --silent run generate

.PHONY: bench
bench: ## Compare the micro-benchmarks with the last commit; BENCH=pattern for some, REF=commit for another
	.ci/bench

.PHONY: docker
docker: ## Build the container image restante
	docker build --build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' --build-arg DATE='$(DATE)' -t restante .

.PHONY: release
release: ## Build what a release consists of into dist/release: programs for every system, their parts (SBOM) and checksums
	VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' .ci/release

.PHONY: module
module: ## Give the Go module the path under which it is hosted: make module NAME=example.org/restante
	.ci/module '$(NAME)'

##@ Before a change goes in

.PHONY: test
test: ## Everything: install what is needed, check, and run all tests with the race detector
	$(STAGE) -limit none 'make test' $(MAKE) --no-print-directory bounded

# Setup may install Go, which this needs. Nothing of it takes longer than so long, or is left.
.PHONY: bounded
bounded: setup
	@go run ./internal/bounded -limit 75m $(MAKE) --no-print-directory checked-race

# The checks run beside each other, each with its output as one block, and beside them what the tests need is installed. The
# tests have the machine to themselves.
.PHONY: checked-race
checked-race:
	@$(MAKE) --no-print-directory --jobs=$$(nproc) --output-sync=target check .ci/generators/node_modules/.package-lock.json
	@$(MAKE) --no-print-directory race

.PHONY: quick
quick: ## The tests of every day: no browser, no PostgreSQL, no other server; under a minute
	$(STAGE) -limit 20m 'make quick' .ci/quick

N    ?= 20
TEST ?=
PKG  ?=

.PHONY: flakes
flakes: ## Run a test many times, with load beside it: make flakes N=20 TEST=TestKillNine
	.ci/flakes '$(N)' '$(TEST)' $(PKG)

.PHONY: check
check: client-tests client-types format tidy fresh vet prose planted contract lint module-test vulnerable ## All checks but the tests

.PHONY: nightly
nightly: web/node_modules/.package-lock.json .ci/generators/node_modules/.package-lock.json ## What takes too long for every day: more clients and kills, tabs that are hidden for seven minutes, planted faults, ten minutes of each fuzz target
	.ci/nightly

.PHONY: mutants
mutants: ## Plant every fault of .ci/mutants, one by one, and run the test that must find it; ARGS='name' for some of them
	$(STAGE) -limit 90m 'Faults that tests must find' .ci/mutate $(ARGS)

DURATION ?= 60s

.PHONY: torture
torture: ## Try to break the server; DURATION=10m for longer, ARGS='--database=postgres --replicas=2' for more
	go run ./cmd/torture --duration=$(DURATION) $(ARGS)

SOAK ?= soak.csv

.PHONY: soak
soak: ## Mixed load with faults, sampled: DURATION=1h SOAK=soak.csv; nothing restarts the server, so that leaks would show
	go run ./cmd/torture --duration=$(DURATION) --rooms=8 --faults=cut,storm,sever,hold,pause,lock,full --soak=$(SOAK) $(ARGS)
	go run ./cmd/torture plot $(SOAK) $(SOAK:.csv=.svg)

.PHONY: torture-table
torture-table: ## Sum the reports of runs up for docs/reliability.md; REPORTS='a.json b.json', as --report wrote them
	@go run ./cmd/torture report $(REPORTS)

STEPS ?= 10000000
SEED  ?= 1

.PHONY: simulate
simulate: ## Simulate the use cases in virtual time; STEPS=100000000 for more, SEED=7 for other choices, ARGS='-history=3' for one history
	go test ./internal/simulation -count=1 -timeout=0 -v -run '^TestSimulation$$' -steps=$(STEPS) -seed=$(SEED) $(ARGS)

REQUESTS ?= 100000

.PHONY: requests
requests: ## Send requests that are drawn from the contract; REQUESTS=10000000 for more, SEED=7 for other choices, ARGS='-sqlite' for a file
	go test ./internal/apifuzz -count=1 -timeout=0 -v -run '^TestRequests$$' -requests=$(REQUESTS) -seed=$(SEED) $(ARGS)

.PHONY: lint
lint: ## Lint the Go code
	$(STAGE) 'Lint' $(TOOL) golangci-lint run ./...

.PHONY: vulnerable
vulnerable: ## Look for known vulnerabilities, where their sources can be reached
	$(STAGE) 'Known vulnerabilities' .ci/vulnerable

.PHONY: fix
fix: ## Format the Go code, and fix what the linters can
	$(TOOL) golangci-lint run --fix ./...

# The stages of `make test`.

.PHONY: setup
setup:
	$(STAGE) -limit 30m 'Programs that are needed' .ci/setup

.PHONY: format
format:
	$(STAGE) 'Format' gofmt -d $$(go list -f '{{.Dir}}' ./...)

.PHONY: tidy
tidy:
	$(STAGE) 'go.mod is tidy' go mod tidy -diff

.PHONY: fresh
fresh: web/node_modules/.package-lock.json
	$(STAGE) 'Generated code is fresh' .ci/fresh

.PHONY: vet
vet:
	$(STAGE) 'Vet' go vet ./...

.PHONY: prose
prose:
	$(STAGE) 'Comments and documents' go test -count=1 -run 'TestProse|TestLinks|TestTheWayExists' .

.PHONY: planted
planted:
	$(STAGE) 'Faults that tests must find still apply' .ci/mutate --check

.PHONY: module-test
module-test:
	$(STAGE) 'The module can be renamed' .ci/module-test

.PHONY: contract
contract: .ci/node_modules/.package-lock.json
	$(STAGE) 'Contract' npm --prefix .ci --silent run lint

.ci/node_modules/.package-lock.json: .ci/package-lock.json
	$(STAGE) 'Linters of the contract' npm --prefix .ci ci --no-audit --no-fund
	@touch $@

.PHONY: client-types
client-types: web/node_modules/.package-lock.json
	$(STAGE) 'Client and page: types and imports' npm --prefix web --silent run check

.PHONY: client-tests
client-tests: web/node_modules/.package-lock.json
	$(STAGE) -limit 35m 'Client and page: tests' npm --prefix web --silent test

web/node_modules/.package-lock.json: web/package-lock.json
	$(STAGE) 'Tools of the client and the page' npm --prefix web ci --no-audit --no-fund
	@touch $@

.ci/generators/node_modules/.package-lock.json: .ci/generators/package-lock.json
	$(STAGE) 'Generators of clients' npm --prefix .ci/generators ci --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: race
race: web/node_modules/.package-lock.json .ci/generators/node_modules/.package-lock.json
	$(STAGE) -limit 60m 'Tests, with the race detector' .ci/test
