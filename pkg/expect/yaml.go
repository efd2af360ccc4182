package expect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/shape"
)

// Dashboard is who reads paths, as a file declares it.
type Dashboard struct {
	Name      string            `yaml:"name"`
	Source    string            `yaml:"source"`     // none: any
	EventType string            `yaml:"event_type"` // none: any
	Fields    map[string]string `yaml:"fields"`     // path: JSON type, or nothing for any
}

type file struct {
	Dashboards []Dashboard `yaml:"dashboards"`
}

// jsonTypes are what a field may be declared as.
var jsonTypes = []string{"string", "number", "boolean", "array", "object"}

// YAML reads a file of dashboards:
//
//	dashboards:
//	  - name: Churn risk
//	    source: stripe
//	    event_type: invoice.paid
//	    fields: {data.object.amount_paid: number, data.object.customer_email: }
//
// An error names the dashboard and what is wrong with it.
func YAML(text []byte) ([]Dashboard, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	var f file
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(f.Dashboards) == 0 {
		return nil, errors.New("it declares no dashboards")
	}
	for i := range f.Dashboards {
		d := &f.Dashboards[i]
		if d.Name == "" || len(d.Fields) == 0 {
			return nil, fmt.Errorf("dashboard %d (%q) needs a name and fields", i+1, d.Name)
		}
		fields := map[string]string{}
		for path, kind := range d.Fields {
			segments, err := shape.Parse(path)
			if err != nil || len(segments) == 0 {
				return nil, fmt.Errorf("dashboard %q: %q is no path such as data.object.lines[].price", d.Name, path)
			}
			if kind != "" && !slices.Contains(jsonTypes, kind) {
				return nil, fmt.Errorf("dashboard %q: %s is declared as %q, which is none of %v", d.Name, path, kind, jsonTypes)
			}
			fields[shape.Join(segments...)] = kind
		}
		d.Fields = fields
	}
	return f.Dashboards, nil
}
