package charttest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// row is a value as README.md lists it.
type row struct{ key, byDefault, help string }

const (
	tableBegin = "<!-- Generated from values.yaml (go test ./helm/charttest -update). Do not edit. -->\n"
	tableEnd   = "<!-- End of what is generated. -->\n"
)

// README.md's table is what the comments of values.yaml say. With -update it is written.
func TestReadme(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("\n| value | default | meaning |\n|---|---|---|\n")
	for _, r := range rows(t) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.key, r.byDefault, strings.ReplaceAll(r.help, "|", `\|`))
	}
	path := chart + "/README.md"
	head, rest, ok := strings.Cut(read(t, path), tableBegin)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, tableEnd)
	require.True(t, ok)
	compare(t, path, head+tableBegin+b.String()+"\n"+tableEnd+tail)
}

// rows gives every value that has a comment, and fails for one that nobody explains.
func rows(t testing.TB) (all []row) {
	t.Helper()
	var file yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(read(t, chart, "values.yaml")), &file))
	var visit func(prefix string, node *yaml.Node, explained bool)
	visit = func(prefix string, node *yaml.Node, explained bool) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			path := strings.TrimPrefix(prefix+"."+key.Value, ".")
			_, help, ok := strings.Cut("\n"+key.HeadComment, "\n# -- ")
			if ok {
				all = append(all, row{path, shown(t, value), strings.ReplaceAll(help, "\n# ", " ")})
			}
			if value.Kind == yaml.MappingNode && !ok && len(value.Content) > 0 {
				visit(path, value, explained)
				continue
			}
			require.True(t, ok || explained, "%s has no comment that begins with --", path)
		}
	}
	visit("", file.Content[0], false)
	return all
}

// maxShown is how long a default may be in the table.
const maxShown = 60

func shown(t testing.TB, node *yaml.Node) string {
	t.Helper()
	var v any
	require.NoError(t, node.Decode(&v))
	text, err := json.Marshal(v)
	require.NoError(t, err)
	switch {
	case slices.Contains([]string{"null", `""`, "{}", "[]"}, string(text)):
		return ""
	case len(text) > maxShown:
		return "see values.yaml"
	}
	return "`" + strings.Trim(string(text), `"`) + "`"
}

// The schema knows exactly the values that there are, at the places where it is closed.
func TestSchema(t *testing.T) {
	t.Parallel()
	type node struct {
		Ref        string           `json:"$ref"`
		Properties map[string]*node `json:"properties"`
		Additional json.RawMessage  `json:"additionalProperties"`
		Defs       map[string]*node `json:"$defs"`
		Help       string           `json:"description"`
		Type       any              `json:"type"`
	}
	var schema node
	require.NoError(t, json.Unmarshal([]byte(read(t, chart, "values.schema.json")), &schema))
	var values map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(read(t, chart, "values.yaml")), &values))
	optional := []string{ // of services, which need not set anew what defaults have, and of what has no default
		"global", "resources", "resources.claims",
	}
	var visit func(path string, n *node, value map[string]any)
	visit = func(path string, n *node, value map[string]any) {
		if name, ok := strings.CutPrefix(n.Ref, "#/$defs/"); ok {
			n = schema.Defs[name]
		}
		if n.Properties == nil {
			return
		}
		require.JSONEq(t, "false", string(n.Additional), "%s takes what it does not know", path)
		for key := range value {
			require.Contains(t, n.Properties, key, path)
		}
		for key, child := range n.Properties {
			at := strings.TrimPrefix(path+"."+key, ".")
			sub, isMap := value[key].(map[string]any)
			_, has := value[key]
			switch {
			case has && isMap:
				visit(at, child, sub)
			case has, child.Help != "", slices.Contains(optional, at), strings.HasPrefix(path, "services."):
			case strings.HasSuffix(path, ".kafka"), strings.HasSuffix(path, ".postgres"), strings.Contains(path, "probes."), strings.HasSuffix(path, "resources"), path == "externalSecrets.storeRef", path == "migrations.roles.members", path == "topics.acls.users":
			default:
				require.Fail(t, "the schema has "+at+", and values.yaml has not")
			}
		}
	}
	visit("", &schema, values)
}
