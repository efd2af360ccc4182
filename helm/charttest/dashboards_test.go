package charttest

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dashboard is what Grafana needs of one, and what all of ours have alike.
type dashboard struct {
	UID           string   `json:"uid"`
	Title         string   `json:"title"`
	Tags          []string `json:"tags"`
	SchemaVersion int      `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name, Type string
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID          int    `json:"id"`
		Type        string `json:"type"`
		Title       string `json:"title"`
		Description string `json:"description"`
		Datasource  struct {
			Type, UID string
		} `json:"datasource"`
		FieldConfig struct {
			Defaults struct {
				Unit string `json:"unit"`
			} `json:"defaults"`
		} `json:"fieldConfig"`
		GridPos struct{ H, W, X, Y int } `json:"gridPos"`
		Targets []struct {
			RefID string `json:"refId"`
			Expr  string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// Grafana takes each dashboard, they are alike, and every panel says what it shows.
func TestDashboards(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(chart + "/dashboards/*.json")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		names = append(names, name)
		var d dashboard
		require.NoError(t, json.Unmarshal([]byte(read(t, file)), &d), name)
		require.Equal(t, "throughline-"+name, d.UID)
		require.LessOrEqual(t, len(d.UID), 40, "Grafana takes no longer uid")
		require.NotEmpty(t, d.Title)
		require.Equal(t, []string{"throughline"}, d.Tags, "the links between dashboards go by it")
		require.Equal(t, 39, d.SchemaVersion)
		require.Len(t, d.Templating.List, 2)
		require.Equal(t, "datasource", d.Templating.List[0].Name)
		require.Equal(t, "datasource", d.Templating.List[0].Type)
		require.Equal(t, "namespace", d.Templating.List[1].Name)
		ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			where := name + ": " + p.Title
			require.False(t, ids[p.ID] || titles[p.Title], where)
			ids[p.ID], titles[p.Title] = true, true
			require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, where)
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					require.Empty(t, taken[at], "%s lies on %s", where, taken[at])
					taken[at] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			require.Contains(t, []string{"stat", "timeseries"}, p.Type, where)
			require.Equal(t, "prometheus", p.Datasource.Type, where)
			require.Equal(t, "${datasource}", p.Datasource.UID, where)
			require.NotEmpty(t, p.Description, where)
			require.NotEmpty(t, p.FieldConfig.Defaults.Unit, where)
			require.NotEmpty(t, p.Targets, where)
			for i, target := range p.Targets {
				require.Equal(t, string(rune('A'+i)), target.RefID, where)
				require.Contains(t, target.Expr, `namespace=~"$namespace"`, where)
			}
		}
	}
	require.Equal(t, []string{"console", "overview", "pipeline", "quarantine", "receiver", "runtime"}, names)
}
