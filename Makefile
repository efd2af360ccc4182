# Everything that is done here is a target; `make` lists them. CI calls nothing else.
MODULES := . services/examples
GO      ?= go
ARGS    ?=
BASE    ?= HEAD
BIN     := $(CURDIR)/bin
# Printed by --version; a plain `go build` uses what the toolchain knows.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -X github.com/throughline-dev/throughline/pkg/settings.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help run test test-unit test-system quick bench build lint fmt vulnerabilities generate verify fuzz tidy prerequisites clean chart chart-tools

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## start all of it on this machine with a demo story (ARGS="--no-demo …")
	@exec $(BIN)/throughline dev $(ARGS)

test: prerequisites test-unit test-system ## every test, with the race detector; installs what it needs

test-unit: ## unit, contract, golden and single-service tests
	@for m in $(MODULES); do (cd $$m && $(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v /services/e2e)) || exit 1; done

test-system: ## whole-system and fault tests: in-process broker, Apache Kafka, killed processes
	$(GO) test -race -timeout 15m ./services/e2e/...

quick: $(BIN)/golangci-lint ## tests and lint of the packages changed since BASE (HEAD), and what imports them: under 90 s
	@.ci/quick $(BASE)

bench: ## each stage beside the limit of its work, as a ratio (ARGS="--only sink …")
	$(GO) run ./services/bench $(ARGS)

build: ## all programs, into bin/
	@mkdir -p $(BIN)
	@echo "building (the first time takes minutes)" >&2
	@$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/ ./services/receiver ./services/normalizer ./services/sink ./services/quarantine ./services/throughline

lint: $(BIN)/golangci-lint ## golangci-lint with .golangci.yml, and go vet
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && $(GO) vet ./... && $(BIN)/golangci-lint run ./...) || exit 1; done

$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && GOWORK=off $(GO) build -o $(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

vulnerabilities: ## govulncheck; needs the vulnerability database of the Go project
	cd tools && GOWORK=off $(GO) build -o $(BIN)/govulncheck golang.org/x/vuln/cmd/govulncheck
	@for m in $(MODULES); do (cd $$m && $(BIN)/govulncheck ./...) || exit 1; done

fmt: ## gofmt, in place
	@gofmt -w $(MODULES)

generate: build ## docs/event-types.md from the sources, docs/operations/settings.md from the settings
	$(BIN)/throughline event-types --markdown > docs/event-types.md
	$(BIN)/throughline settings --markdown > docs/operations/settings.md

verify: build ## what is generated is what is committed, files are formatted, links lead somewhere
	@$(BIN)/throughline event-types --markdown | diff -u docs/event-types.md - || { echo "run make generate"; exit 1; }
	@$(BIN)/throughline settings --markdown | diff -u docs/operations/settings.md - || { echo "run make generate"; exit 1; }
	@test -z "$$(gofmt -l $(MODULES))" || { gofmt -l $(MODULES); echo "run make fmt"; exit 1; }
	@.ci/links
	@echo "verified: generated pages, formatting, links"

# What checks the chart. Each is built once; together they take minutes (docs/operations/kubernetes.md).
CHART_TOOLS := $(addprefix $(BIN)/,helm3 helm4 helm-unittest kubeconform kustomize promtool)
KUBERNETES  := v1.37.2
CRDS        := sigs.k8s.io/gateway-api@v1.6.3/config/crd/standard github.com/kedacore/keda/v2@v2.21.0/config/crd/bases \
  github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd github.com/external-secrets/external-secrets@v1.3.2/config/crds/bases

chart: chart-tools ## the chart and the plain manifests: lint, units, schemas, policies, alerts; both helms
	cd helm/throughline && $(BIN)/promtool check rules --lint-fatal files/alerts.yaml && $(BIN)/promtool test rules tests/alerts.yaml
	$(BIN)/helm-unittest helm/throughline
	$(GO) test -tags chart ./helm/...
	@echo "chart: passed"

chart-tools: $(CHART_TOOLS) $(BIN)/schemas/.done ## what `make chart` needs, into bin/

# Without these flags helm 3 believes in Kubernetes 1.20.
HELM3_FLAGS := $(foreach p,lint/rules chartutil,-X helm.sh/helm/v3/pkg/$(p).k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$(p).k8sVersionMinor=$(word 2,$(subst ., ,$(KUBERNETES))))
chart-build = cd tools/chart && GOWORK=off CGO_ENABLED=0 $(GO) build -trimpath -o $@ -ldflags "-s -w $(2)" $(3) $(1)

$(BIN)/helm3: tools/chart/go.mod tools/chart/go.sum
	$(call chart-build,helm.sh/helm/v3/cmd/helm,$(HELM3_FLAGS))
$(BIN)/helm4: tools/chart/go.mod tools/chart/go.sum
	$(call chart-build,helm.sh/helm/v4/cmd/helm)
$(BIN)/helm-unittest: tools/chart/go.mod tools/chart/go.sum
	$(call chart-build,github.com/helm-unittest/helm-unittest/cmd/helm-unittest)
$(BIN)/kubeconform: tools/chart/go.mod tools/chart/go.sum
	$(call chart-build,github.com/yannh/kubeconform/cmd/kubeconform)
$(BIN)/kustomize: tools/chart/go.mod tools/chart/go.sum
	$(call chart-build,sigs.k8s.io/kustomize/kustomize/v5)
# remove_all_sd: checking rules discovers no services, and the clouds' libraries take minutes.
$(BIN)/promtool: tools/chart/go.mod tools/chart/go.sum
	$(call chart-build,github.com/prometheus/prometheus/cmd/promtool,,-tags remove_all_sd)

# The API's schemas, as they lie in Go modules.
$(BIN)/schemas/.done: helm/schemas/main.go Makefile
	@rm -rf $(BIN)/schemas && mkdir -p $(BIN)/schemas
	@module() { cd / && GOWORK=off $(GO) mod download -json $$1 | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$$/\1/p'; }; \
	api=$$(module k8s.io/kubernetes@$(KUBERNETES)); crds=; \
	for c in $(CRDS); do v=$${c#*@}; crds="$$crds $$(module $${c%@*}@$${v%%/*})/$${v#*/}/*.yaml"; done; \
	$(GO) run ./helm/schemas $(BIN)/schemas $$api/api/openapi-spec/swagger.json $$crds && touch $@

fuzz: ## each fuzz target for FUZZTIME (10s)
	@for m in $(MODULES); do (cd $$m && for p in $$(grep -rl 'func Fuzz' --include=*_test.go . | xargs -r -n1 dirname | sort -u); do \
	  for f in $$(grep -ho 'func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | cut -c6-); do echo "$$p $$f"; \
	  $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-10s} -fuzzminimizetime 10x $$p || exit 1; done; done) || exit 1; done

tidy: ## go mod tidy in every module
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy) || exit 1; done
	@cd tools && GOWORK=off $(GO) mod tidy
	@cd tools/chart && GOWORK=off $(GO) mod tidy

prerequisites: ## what the tests need beside Go: a C compiler, Postgres, psql, Java 17, Maven
	@.ci/prerequisites

clean: ## programs and local data
	rm -rf $(BIN) .throughline
