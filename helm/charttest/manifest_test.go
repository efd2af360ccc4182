//go:build chart

package charttest

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// object is what these tests read of a Kubernetes object.
type object struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       spec     `yaml:"spec"`
	Data       map[string]string
}

type metadata struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type spec struct {
	Replicas    *int   `yaml:"replicas"`
	ServiceName string `yaml:"serviceName"`
	// Selector is a map in a Service and a label selector elsewhere.
	Selector    map[string]any `yaml:"selector"`
	PodSelector map[string]any `yaml:"podSelector"`
	Template    podTemplate    `yaml:"template"`
	JobTemplate *jobTemplate   `yaml:"jobTemplate"`
	Target      struct {
		Kind string `yaml:"kind"`
		Name string `yaml:"name"`
	} `yaml:"scaleTargetRef"`
	Rules       []map[string]any              `yaml:"rules"`
	PolicyTypes []string                      `yaml:"policyTypes"`
	Claims      []struct{ Metadata metadata } `yaml:"volumeClaimTemplates"`
	Ports       []struct {
		Name       string `yaml:"name"`
		TargetPort any    `yaml:"targetPort"`
	} `yaml:"ports"`
	Pod pod `yaml:",inline"` // of a Pod
}

type jobTemplate struct {
	Spec spec `yaml:"spec"`
}

type podTemplate struct {
	Metadata metadata `yaml:"metadata"`
	Spec     pod      `yaml:"spec"`
}

type pod struct {
	AutomountToken *bool           `yaml:"automountServiceAccountToken"`
	ServiceLinks   *bool           `yaml:"enableServiceLinks"`
	HostNetwork    bool            `yaml:"hostNetwork"`
	HostPID        bool            `yaml:"hostPID"`
	Grace          int             `yaml:"terminationGracePeriodSeconds"`
	Security       securityContext `yaml:"securityContext"`
	Init           []container     `yaml:"initContainers"`
	Containers     []container     `yaml:"containers"`
	Volumes        []struct {
		Name     string         `yaml:"name"`
		HostPath map[string]any `yaml:"hostPath"`
	} `yaml:"volumes"`
}

type securityContext struct {
	NonRoot      *bool `yaml:"runAsNonRoot"`
	User         *int  `yaml:"runAsUser"`
	Group        *int  `yaml:"runAsGroup"`
	FSGroup      *int  `yaml:"fsGroup"`
	Escalation   *bool `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRoot *bool `yaml:"readOnlyRootFilesystem"`
	Privileged   bool  `yaml:"privileged"`
	Capabilities struct {
		Drop []string `yaml:"drop"`
		Add  []string `yaml:"add"`
	} `yaml:"capabilities"`
	Seccomp struct {
		Type string `yaml:"type"`
	} `yaml:"seccompProfile"`
}

type container struct {
	Name      string          `yaml:"name"`
	Image     string          `yaml:"image"`
	Command   []string        `yaml:"command"`
	Args      []string        `yaml:"args"`
	Env       []envVar        `yaml:"env"`
	EnvFrom   []envFrom       `yaml:"envFrom"`
	Security  securityContext `yaml:"securityContext"`
	Startup   *probe          `yaml:"startupProbe"`
	Liveness  *probe          `yaml:"livenessProbe"`
	Readiness *probe          `yaml:"readinessProbe"`
	Ports     []struct {
		Name string `yaml:"name"`
		Port int    `yaml:"containerPort"`
	} `yaml:"ports"`
	Resources struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	Mounts []struct {
		Name string `yaml:"name"`
		Path string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type envVar struct {
	Name      string `yaml:"name"`
	Value     string `yaml:"value"`
	ValueFrom any    `yaml:"valueFrom"`
}

type envFrom struct {
	ConfigMap struct {
		Name string `yaml:"name"`
	} `yaml:"configMapRef"`
}

type probe struct {
	HTTP struct {
		Path string `yaml:"path"`
		Port any    `yaml:"port"`
	} `yaml:"httpGet"`
	Timeout int `yaml:"timeoutSeconds"`
	Period  int `yaml:"periodSeconds"`
	Failure int `yaml:"failureThreshold"`
}

// pods gives the template of the pods that an object makes, and whether it makes some.
func (o *object) pods() (*podTemplate, bool) {
	switch o.Kind {
	case "Deployment", "StatefulSet", "Job":
		return &o.Spec.Template, true
	case "CronJob":
		return &o.Spec.JobTemplate.Spec.Template, true
	case "Pod":
		return &podTemplate{o.Metadata, o.Spec.Pod}, true
	}
	return nil, false
}

// runs reports whether it is a service, and not a job.
func (o *object) runs() bool { return o.Kind == "Deployment" || o.Kind == "StatefulSet" }

// id tells objects apart.
func (o *object) id() string { return o.Kind + " " + o.Metadata.Name }

// parse reads manifests.
func parse(t testing.TB, text string) (objects []*object) {
	t.Helper()
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err, text)
		if o.Kind != "" {
			objects = append(objects, &o)
		}
	}
}

// tool gives the path of a program that `make chart` has built.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/" + name)
	require.NoError(t, err)
	require.FileExists(t, path, "make chart builds it")
	return path
}

// run gives what a tool prints, and its error's text if it fails.
func run(t testing.TB, in string, name string, args ...string) (out, errs string, ok bool) {
	t.Helper()
	command := exec.CommandContext(t.Context(), tool(t, name), args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(in), &stdout, &stderr
	command.Env = append(command.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	err := command.Run()
	return stdout.String(), stderr.String(), err == nil
}

const release, namespace = "t", "events"

// rendered keeps what helm has rendered: many tests look at the same.
var rendered sync.Map

// render gives the chart's manifests for a value file of ci.
func render(t testing.TB, helm, file string) string {
	t.Helper()
	if text, ok := rendered.Load(helm + file); ok {
		return text.(string)
	}
	text := renderAnew(t, helm, file)
	rendered.Store(helm+file, text)
	return text
}

func renderAnew(t testing.TB, helm, file string) string {
	t.Helper()
	out, errs, ok := run(t, "", helm, "template", release, chart, "--namespace="+namespace, "--values="+file, "--kube-version=1.37.2", "--api-versions=monitoring.coreos.com/v1")
	require.True(t, ok, errs)
	return out
}

// valueFiles gives those of ci.
func valueFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 12)
	return files
}
