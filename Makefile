# Everything that is done here is a target; `make` lists them. CI calls nothing else.
MODULES := . services/examples
GO      ?= go
ARGS    ?=
BASE    ?= HEAD
BIN     := $(CURDIR)/bin
# Collections cost much under the race detector and in the linter, and memory is there for a while.
TEST_GOGC ?= 400
# Lint vets, and without debugging symbols the tests' programs are linked in half the time.
TEST_FLAGS := -vet=off -ldflags='-s -w'
# Printed by --version; a plain `go build` uses what the toolchain knows.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -X github.com/throughline-dev/throughline/pkg/settings.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help run test test-unit test-system race quick bench build lint fmt vulnerabilities generate api-check domains verify mutants fuzz tidy toolchain newcomer prerequisites images images-test release upgrade-test vendor-clients browser prove clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: toolchain build ## start all of it on this machine with a demo story (ARGS="--no-demo …")
	@exec $(BIN)/throughline dev $(ARGS)

test: toolchain prerequisites test-unit test-system ## every test; installs what it needs

# The race detector takes a second build of everything and several times the time, so here it is for the packages where most
# goroutines meet; `make race` is for all. Tests of servers mostly wait, so more of them run at once than there are cores.
RACED := /pkg/(stream|service|retry)(/|$$)

test-unit: ## unit, contract, golden and single-service tests, where goroutines meet with the race detector
	@for m in $(MODULES); do (cd $$m && all=$$($(GO) list ./... | grep -v /services/e2e) && \
	  echo "testing $$(echo "$$all" | wc -l) packages of $$m; each says when it is done, the slowest after minutes" && \
	  if raced=$$(echo "$$all" | grep -E '$(RACED)'); then \
	    GO=$(GO) $(CURDIR)/.ci/compile -race $$raced && GOGC=$(TEST_GOGC) $(GO) test $(TEST_FLAGS) -race -timeout 10m $$raced || exit 1; fi && \
	  plain=$$(echo "$$all" | grep -Ev '$(RACED)') && GOGC=$(TEST_GOGC) $(GO) test $(TEST_FLAGS) -parallel 4 -timeout 10m $$plain) || exit 1; done

race: ## every test with the race detector; takes long
	@for m in $(MODULES); do (cd $$m && GOGC=$(TEST_GOGC) $(GO) test -race -timeout 30m ./...) || exit 1; done

# Without the race detector: what is tested are mostly the programs as they are shipped. `make race` adds it.
test-system: ## whole-system and fault tests: in-process broker, Apache Kafka, killed processes
	@echo "testing whole systems and faults: up to 15 minutes, and a line at the end"
	$(GO) test $(TEST_FLAGS) -parallel 4 -timeout 15m ./services/e2e/...

quick: $(BIN)/golangci-lint ## tests and lint of the packages changed since BASE (HEAD), and what imports them: under 90 s
	@.ci/quick $(BASE)

bench: ## the speed of each stage, compared with the least work that could be done (ARGS="--only sink …")
	@mkdir -p $(BIN)
	@GO=$(GO) .ci/compile -o $(BIN)/bench ./services/bench
	@exec $(BIN)/bench $(ARGS)

build: ## all programs, into bin/
	@mkdir -p $(BIN)
	@GO=$(GO) .ci/compile -ldflags "$(LDFLAGS)" -o $(BIN)/ ./services/receiver ./services/normalizer ./services/sink ./services/quarantine ./services/puller ./services/learner ./services/drift ./services/alerter ./services/console ./services/throughline

lint: $(BIN)/golangci-lint ## golangci-lint with .golangci.yml; go vet is one of its linters (govet)
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && GOGC=$(TEST_GOGC) $(BIN)/golangci-lint run ./...) || exit 1; done

$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && GOWORK=off $(GO) build -o $(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

vulnerabilities: ## govulncheck; needs the vulnerability database of the Go project
	cd tools && GOWORK=off $(GO) build -o $(BIN)/govulncheck golang.org/x/vuln/cmd/govulncheck
	@for m in $(MODULES); do (cd $$m && $(BIN)/govulncheck ./...) || exit 1; done

fmt: ## gofmt, in place
	@gofmt -w $(MODULES)

generate: build $(BIN)/templ ## docs/event-types.md from the sources, docs/operations/settings.md from the settings, the console's Go from its templates and API description
	$(BIN)/throughline event-types --markdown > docs/event-types.md
	$(BIN)/throughline settings --markdown > docs/operations/settings.md
	cd services/console/openapi && $(BIN)/oapi-codegen -config codegen.yaml openapi.yaml
	$(BIN)/templ generate -path services/console/web

$(BIN)/templ: tools/generate/go.mod tools/generate/go.sum
	@mkdir -p $(BIN)
	@cd tools/generate && GOWORK=off $(GO) build -o $(BIN)/ github.com/a-h/templ/cmd/templ github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen

# The versions are pinned; both come from their registries into a temporary directory.
api-check: ## openapi.yaml by redocly, and a running API against it by schemathesis, which changes what is there (links, names, views): only on an installation to throw away; needs npm, pip, URL=http://…/api/v1 and TOKEN=tl_…
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && spec=$$PWD/services/console/openapi/openapi.yaml && \
	(cd "$$tmp" && npx -y @redocly/cli@2.77.0 lint "$$spec") && python3 -m venv "$$tmp/venv" && "$$tmp/venv/bin/pip" install -q schemathesis==4.32.5 && \
	(cd "$$tmp" && venv/bin/schemathesis run "$$spec" --url "$(URL)" -H "Authorization: Bearer $(TOKEN)" --exclude-path /live --exclude-path /openapi.yaml --request-timeout 40 \
	--checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection)

domains: ## pkg/resolve/domains.txt from the lists that tools/domains names; needs npm and pip
	@cd tools && GOWORK=off $(GO) build -o $(BIN)/domains ./domains
	@$(BIN)/domains

verify: toolchain build $(BIN)/mutants $(BIN)/templ ## what is generated is what is committed, files are formatted, links lead somewhere
	@$(BIN)/throughline event-types --markdown | diff -u docs/event-types.md - || { echo "run make generate"; exit 1; }
	@$(BIN)/throughline settings --markdown | diff -u docs/operations/settings.md - || { echo "run make generate"; exit 1; }
	@.ci/generated $(BIN)
	@test -z "$$(gofmt -l $(MODULES))" || { gofmt -l $(MODULES); echo "run make fmt"; exit 1; }
	@.ci/links
	@$(BIN)/mutants -check
	@cd tools/image && GOWORK=off $(GO) test -skip '^TestImage$$' ./...
	@echo "verified: generated pages, formatting, links, the list of make mutants, the Dockerfile"

$(BIN)/mutants: tools/mutants/main.go tools/mutants/list.go
	@mkdir -p $(BIN)
	@cd tools && GOWORK=off $(GO) build -o $(BIN)/mutants ./mutants

mutants: $(BIN)/mutants ## break promises of the code one at a time (tools/mutants/list.go): a test must notice each (ARGS="-only spool")
	@$(BIN)/mutants $(ARGS)

fuzz: ## each fuzz target for FUZZTIME (10s); ONLY chooses ("rawjson|FuzzParse")
	@GO=$(GO) .ci/fuzz $(MODULES)

tidy: ## go mod tidy in every module
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy) || exit 1; done
	@cd tools && GOWORK=off $(GO) mod tidy
	@cd tools/chart && GOWORK=off $(GO) mod tidy
	@cd tools/image && GOWORK=off $(GO) mod tidy
	@cd tools/generate && GOWORK=off $(GO) mod tidy

toolchain:
	@GO=$(GO) .ci/toolchain

newcomer: ## the README's order in an empty home: run, the commands, test, run again (ARGS=--quick: one package's tests)
	@.ci/newcomer $(ARGS)

prerequisites: ## what the tests need beside Go: a C compiler, Postgres, psql, Java 17, Maven
	@.ci/prerequisites

browser: ## the console's pages in Debian's chromium: journeys, and axe on every page; installs both (ARGS="-run TestChurnStory"; THROUGHLINE_SHOTS=DIR keeps pictures)
	@.ci/browser
	THROUGHLINE_AXE=$$(ls $(BIN)/axe/*/axe.min.js) $(GO) test -count=1 -timeout 20m -tags browser $(ARGS) ./services/console/browsertest

prove: toolchain prerequisites ## faults at random for MINUTES (20) under load, on three brokers and a Postgres with a standby, then every acknowledged event is looked for (SEED=…, ARGS="-faults sink,broker", OLD=REVISION for services of that version beside today's)
	$(if $(OLD),@.ci/upgrade $(OLD)) $(GO) test -count=1 -timeout 10h -tags prove -run 'TestProve$$' -v ./services/e2e -minutes $(or $(MINUTES),20) -seed $(or $(SEED),0) $(ARGS)

vendor-clients: ## the vendors' own SDKs (npm) and Singer taps (PyPI) read the fake vendor APIs; installs them (needs Node, Python and the registries)
	@.ci/vendor-clients
	$(GO) test -count=1 -tags vendorclients ./services/vendors/clients

upgrade-test: ## replace the programs of an older version (FROM=REVISION; the last tag) by today's and back, while events come; some minutes
	@.ci/upgrade $(FROM)

$(BIN)/image: $(wildcard tools/image/*.go) tools/image/go.mod tools/image/go.sum
	@mkdir -p $(BIN)
	@cd tools/image && GOWORK=off $(GO) build -o $@ .

images: $(BIN)/image ## the container image for amd64 and arm64 as an OCI layout in dist/image, with SBOMs (PUSH=registry/repository:tag pushes it)
	@rm -rf dist/new && mkdir -p dist/new
	@$(BIN)/image -out dist/new/image -version "$(VERSION)" -revision "$$(git rev-parse HEAD)" -epoch "$$(git log -1 --format=%ct)" $(if $(PUSH),-push $(PUSH))
	@rm -rf dist/image dist/throughline-image-*.spdx.json && mv dist/new/* dist/ && rmdir dist/new

release: $(BIN)/image $(BIN)/helm4 ## VERSION=v1.2.3: programs, image, chart, SBOMs and checksums in dist/release/VERSION, from a clean tree
	@$(BIN)/image release "$(VERSION)"

images-test: ## build the image twice, push, pull and unpack it, and start each program in it (needs root)
	cd tools/image && GOWORK=off $(GO) test -count=1 ./...

clean: ## programs and local data
	rm -rf $(BIN) dist .throughline

include helm/chart.mk
