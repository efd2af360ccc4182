//go:build chart

package charttest

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A policy gives what is wrong with an object among all of its release.
type policy func(o *object, all []*object) (problem string)

// policies are the rules for everything that is rendered.
var policies = map[string]policy{
	"names and labels": labelled, "hooks run before": hooks, "no secret is made": noSecrets,
	"restricted pods": restricted, "images have versions": versioned, "resources are set": resourced, "probes are set": probed,
	"replicas have one owner": owned, "selectors select": selects, "only webhooks and the console are exposed": exposed, "mounts exist": mounted,
	"pods have time to stop": stops, "commands are programs": programmed, "Strimzi's objects name their cluster": strimzi,
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	for _, file := range valueFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			all := parse(t, render(t, "helm4", file))
			seen := map[string]bool{}
			for _, o := range all {
				require.False(t, seen[o.id()], "%s is there twice", o.id())
				seen[o.id()] = true
				if o.Metadata.Name == "more" || strings.HasSuffix(o.Metadata.Name, "-extra") {
					continue // extraObjects are the user's
				}
				for name, check := range policies {
					require.Empty(t, check(o, all), "%s: %s", o.id(), name)
				}
			}
		})
	}
}

func labelled(o *object, _ []*object) string {
	if o.Metadata.Namespace == "" {
		return "it has no namespace"
	}
	if len(o.Metadata.Name) > 63 {
		return "its name is too long"
	}
	for _, label := range []string{"name", "instance", "component", "version", "part-of", "managed-by"} {
		if o.Metadata.Labels["app.kubernetes.io/"+label] == "" {
			return "it has no label " + label
		}
	}
	return ""
}

func hooks(o *object, _ []*object) string {
	for hook := range strings.SplitSeq(o.Metadata.Annotations["helm.sh/hook"], ",") {
		if hook != "" && hook != "test" && !strings.HasPrefix(hook, "pre-") {
			return "a hook runs " + hook + ", which --wait would wait for in vain"
		}
	}
	return ""
}

func noSecrets(o *object, _ []*object) string {
	if o.Kind == "Secret" {
		return "the chart makes a Secret"
	}
	template, ok := o.pods()
	if !ok {
		return ""
	}
	for _, c := range template.Spec.Containers {
		for _, e := range c.Env {
			if e.Value != "" && regexp.MustCompile(`(PASSWORD|SECRETS|POSTGRES_URL|DIRECT_URL)$`).MatchString(e.Name) {
				return e.Name + " stands in the manifest"
			}
		}
	}
	return ""
}

// restricted is the Pod Security Standard of that name, with a read-only root.
func restricted(o *object, _ []*object) string {
	template, ok := o.pods()
	if !ok {
		return ""
	}
	p := template.Spec
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	switch {
	case p.HostNetwork || p.HostPID:
		return "it uses the host's namespaces"
	case !is(p.Security.NonRoot, true):
		return "it may run as root"
	case p.Security.Seccomp.Type != "RuntimeDefault":
		return "it has no seccomp profile"
	case !is(p.AutomountToken, false):
		return "it has a token of the API server"
	case !is(p.ServiceLinks, false):
		return "it has variables of every Service"
	}
	for _, v := range p.Volumes {
		if v.HostPath != nil {
			return "it mounts the host's " + v.Name
		}
	}
	for _, c := range append(p.Containers, p.Init...) {
		s := c.Security
		if !is(s.Escalation, false) || !is(s.ReadOnlyRoot, true) || s.Privileged || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) || len(s.Capabilities.Add) > 0 {
			return "container " + c.Name + " is not restricted"
		}
	}
	return ""
}

func eachContainer(o *object, check func(container) string) string {
	if template, ok := o.pods(); ok {
		for _, c := range template.Spec.Containers {
			if problem := check(c); problem != "" {
				return c.Name + " " + problem
			}
		}
	}
	return ""
}

func versioned(o *object, _ []*object) string {
	return eachContainer(o, func(c container) string {
		if !regexp.MustCompile(`^[^:@]+(:[0-9][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$`).MatchString(c.Image) {
			return "has the image " + c.Image
		}
		return ""
	})
}

func resourced(o *object, _ []*object) string {
	return eachContainer(o, func(c container) string {
		if c.Resources.Requests["cpu"] == "" || c.Resources.Requests["memory"] == "" || c.Resources.Limits["memory"] == "" {
			return "lacks requests or a memory limit"
		}
		return ""
	})
}

func probed(o *object, _ []*object) string {
	if !o.runs() {
		return ""
	}
	return eachContainer(o, func(c container) string {
		for path, p := range map[string]*probe{"/livez": c.Liveness, "/readyz": c.Readiness} {
			if p == nil || p.HTTP.Path != path || p.HTTP.Port != "admin" || p.Timeout < 3 {
				return "has no probe of " + path + " that waits longer than a check takes"
			}
		}
		if c.Startup == nil || c.Startup.Period*c.Startup.Failure < 60 {
			return "has less than a minute to start"
		}
		return ""
	})
}

func owned(o *object, all []*object) string {
	if !o.runs() {
		return ""
	}
	scalers := 0
	for _, other := range all {
		if (other.Kind == "HorizontalPodAutoscaler" || other.Kind == "ScaledObject") && other.Spec.Target.Kind == o.Kind && other.Spec.Target.Name == o.Metadata.Name {
			scalers++
		}
	}
	if scalers > 1 {
		return "it has two autoscalers"
	}
	if scalers == 1 && o.Spec.Replicas != nil {
		return "replicas are rendered beside an autoscaler"
	}
	return ""
}

// selects checks that what selects pods finds some, and that what names a workload finds it.
func selects(o *object, all []*object) string {
	selector := o.Spec.Selector
	if o.Kind == "NetworkPolicy" {
		selector = o.Spec.PodSelector
	}
	if inner, ok := selector["matchLabels"].(map[string]any); ok {
		selector = inner
	}
	var found bool
	switch o.Kind {
	case "Deployment", "StatefulSet":
		found = includes(o.Spec.Template.Metadata.Labels, selector)
		if o.Spec.ServiceName != "" && !slices.ContainsFunc(all, func(s *object) bool { return s.Kind == "Service" && s.Metadata.Name == o.Spec.ServiceName }) {
			return "there is no Service " + o.Spec.ServiceName
		}
	case "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor":
		found = slices.ContainsFunc(all, func(w *object) bool {
			template, ok := w.pods()
			return ok && includes(template.Metadata.Labels, selector)
		})
	case "ServiceMonitor":
		found = slices.ContainsFunc(all, func(s *object) bool { return s.Kind == "Service" && includes(s.Metadata.Labels, selector) })
	case "HorizontalPodAutoscaler", "ScaledObject":
		found = slices.ContainsFunc(all, func(w *object) bool { return w.Kind == o.Spec.Target.Kind && w.Metadata.Name == o.Spec.Target.Name })
	default:
		return ""
	}
	if !found || len(selector) == 0 && o.Spec.Target.Name == "" {
		return fmt.Sprintf("it selects nothing: %v %v", selector, o.Spec.Target)
	}
	return ""
}

func includes(labels map[string]string, selector map[string]any) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// exposedPaths and exposedServices are in the rules of an HTTPRoute or an Ingress, as fmt prints them.
var (
	exposedPaths    = regexp.MustCompile(`(?:value|path):(/[^ \]]*)`)
	exposedServices = regexp.MustCompile(`(?:backendRefs:\[|service:)map\[name:(\S+)`)
)

// exposed: the receiver's webhooks are, and all of the console; each by one of the two kinds, and by nobody else's.
func exposed(o *object, all []*object) string {
	if o.Kind != "HTTPRoute" && o.Kind != "Ingress" {
		return ""
	}
	rules := fmt.Sprint(o.Spec.Rules)
	paths, services := exposedPaths.FindAllStringSubmatch(rules, -1), exposedServices.FindAllStringSubmatch(rules, -1)
	if len(paths) == 0 || len(services) == 0 {
		return "it names no path or no Service"
	}
	for _, s := range services {
		if s[1] != o.Metadata.Name {
			return "it leads to " + s[1]
		}
	}
	if !strings.HasSuffix(o.Metadata.Name, "-console") {
		if !strings.HasSuffix(o.Metadata.Name, "-receiver") {
			return "it exposes what is neither the receiver nor the console"
		}
		for _, p := range paths {
			if p[1] != "/webhooks" {
				return "it exposes " + p[1]
			}
		}
	}
	for _, other := range all {
		if other.Kind != o.Kind && (other.Kind == "HTTPRoute" || other.Kind == "Ingress") && other.Metadata.Name == o.Metadata.Name {
			return "HTTPRoute and Ingress are both there"
		}
	}
	return ""
}

func mounted(o *object, _ []*object) string {
	template, ok := o.pods()
	if !ok {
		return ""
	}
	volumes := map[string]bool{}
	for _, v := range template.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range o.Spec.Claims {
		volumes[c.Metadata.Name] = true
	}
	return eachContainer(o, func(c container) string {
		var paths []string
		for _, m := range c.Mounts {
			if !volumes[m.Name] {
				return "mounts " + m.Name + ", which there is not"
			}
			paths = append(paths, m.Path)
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Value, "/etc/throughline/") && !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(e.Value, p+"/") }) {
				return e.Name + " names a file that is not mounted"
			}
		}
		return ""
	})
}

// graceBeyond is what pods are given beyond the bound of a stop.
const graceBeyond = 5

func stops(o *object, _ []*object) string {
	if !o.runs() {
		return ""
	}
	return eachContainer(o, func(c container) string {
		for _, e := range c.Env {
			if e.Name == "THROUGHLINE_SHUTDOWN_TIMEOUT" {
				bound, err := time.ParseDuration(e.Value)
				if err != nil || o.Spec.Template.Spec.Grace < int(bound.Seconds())+graceBeyond {
					return "has " + strconv.Itoa(o.Spec.Template.Spec.Grace) + " s to stop, and may take " + e.Value
				}
				return ""
			}
		}
		return "has no bound of its stop"
	})
}

func programmed(o *object, _ []*object) string {
	return eachContainer(o, func(c container) string {
		names := append(slices.Collect(maps.Keys(programs())), "throughline")
		if len(c.Command) != 1 || !slices.Contains(names, strings.TrimPrefix(c.Command[0], "/usr/local/bin/")) {
			return fmt.Sprint("runs ", c.Command)
		}
		if o.runs() != (c.Command[0] != "/usr/local/bin/throughline") {
			return fmt.Sprint("runs ", c.Command, " in a ", o.Kind)
		}
		return ""
	})
}

func strimzi(o *object, _ []*object) string {
	if (o.Kind == "KafkaTopic" || o.Kind == "KafkaUser") && o.Metadata.Labels["strimzi.io/cluster"] == "" {
		return "its operator would pass it over"
	}
	return ""
}

// Every variable that a container is given is one that its program reads.
func TestVariablesAreRead(t *testing.T) {
	t.Parallel()
	cli := map[string]bool{"THROUGHLINE_NAMED_SOURCES": true}
	for _, prefix := range []string{"normalizer", "sink", "puller", "alerter"} {
		plain, _, _ := variables(t, prefix)
		for _, v := range plain {
			of := prefix == "puller" && (strings.Contains(v, "_API_") || strings.HasSuffix(v, "_TENANT") || strings.HasSuffix(v, "_TEST_DATA")) // of the commands that call a vendor
			if of || strings.Contains(v, "_ALERTS_") || strings.Contains(v, "_KAFKA_") || strings.Contains(v, "_POSTGRES_") || strings.Contains(v, "_SCHEMA_REGISTRY_") {
				cli[v] = true
			}
		}
	}
	for _, file := range valueFiles(t) {
		for _, o := range parse(t, render(t, "helm4", file)) {
			template, ok := o.pods()
			if !ok {
				continue
			}
			for _, c := range slices.Concat(template.Spec.Init, template.Spec.Containers) {
				reads := cli
				if o.runs() {
					plain, _, _ := variables(t, c.Name)
					reads = map[string]bool{"THROUGHLINE_OTLP_ENDPOINT": true} // a secret only where it carries a password
					for _, v := range plain {
						reads[v] = true
						for _, named := range []string{"BILLING", "PRODUCT_EVENTS"} { // of all-sources.yaml
							reads[strings.Replace(v, "THROUGHLINE_EXAMPLE_", "THROUGHLINE_"+named+"_", 1)] = true
						}
					}
				}
				for _, e := range c.Env {
					require.True(t, reads[e.Name] || e.Name == "TZ", "%s: %s gets %s, which it does not read", filepath.Base(file), c.Name, e.Name)
				}
			}
		}
	}
}

// The policies refuse: each finds its own fault.
func TestPoliciesRefuse(t *testing.T) {
	t.Parallel()
	good := func() *object {
		for _, o := range parse(t, render(t, "helm4", chart+"/ci/minimal.yaml")) {
			if o.Kind == "Deployment" && strings.HasSuffix(o.Metadata.Name, "-sink") {
				return o
			}
		}
		return nil
	}
	yes := true
	tests := map[string]func(o *object){
		"names and labels":        func(o *object) { o.Metadata.Namespace = "" },
		"hooks run before":        func(o *object) { o.Metadata.Annotations = map[string]string{"helm.sh/hook": "post-install"} },
		"no secret is made":       func(o *object) { o.Kind = "Secret" },
		"restricted pods":         func(o *object) { o.Spec.Template.Spec.Containers[0].Security.Escalation = &yes },
		"images have versions":    func(o *object) { o.Spec.Template.Spec.Containers[0].Image = "throughline:latest" },
		"resources are set":       func(o *object) { o.Spec.Template.Spec.Containers[0].Resources.Limits = nil },
		"probes are set":          func(o *object) { o.Spec.Template.Spec.Containers[0].Readiness = nil },
		"selectors select":        func(o *object) { o.Spec.Template.Metadata.Labels = nil },
		"mounts exist":            func(o *object) { o.Spec.Template.Spec.Volumes = nil },
		"pods have time to stop":  func(o *object) { o.Spec.Template.Spec.Grace = 10 },
		"commands are programs":   func(o *object) { o.Spec.Template.Spec.Containers[0].Command = []string{"sh"} },
		"replicas have one owner": func(o *object) {},
	}
	for name, spoil := range tests {
		o := good()
		require.NotNil(t, o)
		all := []*object{o}
		if name == "replicas have one owner" {
			scaler := &object{Kind: "HorizontalPodAutoscaler"}
			scaler.Spec.Target.Kind, scaler.Spec.Target.Name = o.Kind, o.Metadata.Name
			all = append(all, scaler)
		} else {
			require.Empty(t, policies[name](o, all), name)
		}
		spoil(o)
		require.NotEmpty(t, policies[name](o, all), name)
	}
}

func TestExposedRefuses(t *testing.T) {
	t.Parallel()
	route := func(name, service, path string) *object {
		o := &object{Kind: "HTTPRoute"}
		o.Metadata.Name = name
		o.Spec.Rules = []map[string]any{{"matches": []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": path}}}, "backendRefs": []any{map[string]any{"name": service, "port": 80}}}}
		return o
	}
	for _, good := range []*object{route("t-receiver", "t-receiver", "/webhooks"), route("t-console", "t-console", "/"), route("t-console", "t-console", "/throughline")} {
		require.Empty(t, exposed(good, []*object{good}))
		ingress := &object{Kind: "Ingress"}
		ingress.Metadata.Name = good.Metadata.Name
		require.NotEmpty(t, exposed(good, []*object{good, ingress}))
	}
	for _, bad := range []*object{
		route("t-receiver", "t-receiver", "/"), route("t-receiver", "t-receiver-admin", "/webhooks"), route("t-console", "t-receiver", "/"), route("t-console", "t-console-admin", "/"), route("t-sink", "t-sink", "/webhooks"),
	} {
		require.NotEmpty(t, exposed(bad, []*object{bad}), bad.Spec.Rules)
	}
}
