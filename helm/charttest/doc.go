// Package charttest holds the Helm chart and the plain manifests to the programs:
// sources, settings, topics, ports and metrics are those that there are. Its tests
// over rendered manifests need helm and kustomize, and run with the tag chart
// (`make chart`); the others run always.
package charttest
