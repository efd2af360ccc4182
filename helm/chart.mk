# The chart and the plain manifests; part of the Makefile.
.PHONY: chart chart-tools chart-lab

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
$(BIN)/schemas/.done: helm/schemas/main.go helm/chart.mk
	@rm -rf $(BIN)/schemas && mkdir -p $(BIN)/schemas
	@module() { cd / && GOWORK=off $(GO) mod download -json $$1 | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$$/\1/p'; }; \
	api=$$(module k8s.io/kubernetes@$(KUBERNETES)); crds=; \
	for c in $(CRDS); do v=$${c#*@}; crds="$$crds $$(module $${c%@*}@$${v%%/*})/$${v#*/}/*.yaml"; done; \
	ls $$crds | grep -v kustomization >$(BIN)/schemas/crds; \
	$(GO) run ./helm/schemas $(BIN)/schemas $$api/api/openapi-spec/swagger.json $$(cat $(BIN)/schemas/crds) && touch $@

chart-lab: chart-tools ## the chart's life on a real API server, with both helms; the first time it builds one, in 15 minutes
	@helm/lab/build $(BIN)/lab
	@helm/lab/run
