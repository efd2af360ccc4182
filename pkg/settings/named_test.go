package settings_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

var (
	vendors = []string{"stripe", "hubspot"}
	formats = []string{"standardwebhooks", "cloudevents"}
)

func TestNamedSources(t *testing.T) {
	t.Parallel()
	billing := settings.NamedSource{Name: "billing", Format: "standardwebhooks"}
	product := settings.NamedSource{Name: "product-2", Format: "cloudevents"}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("s%d=cloudevents", i)
	}
	for name, tc := range map[string]struct {
		text     string
		want     []settings.NamedSource
		problems []string
	}{
		"nothing":       {"", nil, nil},
		"only commas":   {" , ,", nil, nil},
		"two":           {"billing=standardwebhooks, product-2 = cloudevents ,", []settings.NamedSource{billing, product}, nil},
		"no format":     {"billing", nil, []string{`gives "billing" the format "": the formats are standardwebhooks, cloudevents`}},
		"wrong format":  {"billing=soap", nil, []string{`gives "billing" the format "soap"`}},
		"no name":       {"=cloudevents", nil, []string{`has the name ""`}},
		"a vendor's":    {"stripe=cloudevents", nil, []string{`has the name "stripe", which is a vendor's`}},
		"twice":         {"billing=standardwebhooks,billing=cloudevents", []settings.NamedSource{billing}, []string{`names "billing" twice`}},
		"too long":      {strings.Repeat("x", 41) + "=cloudevents", nil, []string{"has a name of 41 characters: 40 are the most"}},
		"too many":      {strings.Join(many, ","), nil, []string{"names more than 100 sources"}},
		"all at once":   {"A=x,billing=standardwebhooks,stripe=y", []settings.NamedSource{billing}, []string{`"A"`, `"x"`, `"stripe"`, `"y"`}},
		"bad character": {"a_b=cloudevents,a.b=cloudevents,-a=cloudevents,a-=cloudevents,a--b=cloudevents,1a=cloudevents", nil, []string{`"a_b"`, `"a.b"`, `"-a"`, `"a-"`, `"a--b"`, `"1a"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := settings.NamedSources(tc.text, vendors, formats)
			if name == "too many" {
				require.Len(t, got, 100)
			} else {
				require.Equal(t, tc.want, got)
			}
			if len(tc.problems) == 0 {
				require.NoError(t, err)
				return
			}
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tc.problems))
			for i, problem := range tc.problems {
				require.Contains(t, lines[i], problem)
				require.True(t, strings.HasPrefix(lines[i], "THROUGHLINE_NAMED_SOURCES "), lines[i])
			}
		})
	}
}

func FuzzNamedSources(f *testing.F) {
	f.Add("billing=standardwebhooks,product=cloudevents")
	f.Add("a=,=b,,stripe")
	f.Fuzz(func(t *testing.T, text string) {
		sources, err := settings.NamedSources(text, vendors, formats)
		var parts []string
		for _, s := range sources {
			require.NotContains(t, vendors, s.Name)
			require.Contains(t, formats, s.Format)
			require.LessOrEqual(t, len(s.Name), 40)
			parts = append(parts, s.Name+"="+s.Format)
		}
		again, err2 := settings.NamedSources(strings.Join(parts, ","), vendors, formats)
		require.NoError(t, err2)
		require.Equal(t, sources, again)
		if err == nil {
			require.NotContains(t, strings.ReplaceAll(text, " ", ""), "==")
		}
	})
}

func TestPeek(t *testing.T) {
	t.Parallel()
	const env = "THROUGHLINE_NAMED_SOURCES"
	file := writeYAML(t, "named-sources: file=x\n")
	nested := writeYAML(t, "other: 1\nnamed: {sources: [a=x, b=y]}\n")
	broken := writeYAML(t, "named-sources: [\n")
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"nothing":                       {nil, nil, ""},
		"flag":                          {[]string{"send", "--named-sources=flag=x"}, map[string]string{env: "env=x"}, "flag=x"},
		"flag and value apart":          {[]string{"--named-sources", "flag=x"}, map[string]string{env: "env=x"}, "flag=x"},
		"the last flag counts":          {[]string{"--named-sources=a=x", "--named-sources", "b=x"}, nil, "b=x"},
		"a flag without a value":        {[]string{"--named-sources"}, map[string]string{env: "env=x"}, "env=x"},
		"what stands after two dashes":  {[]string{"--", "--named-sources=flag=x"}, nil, ""},
		"environment over file":         {[]string{"--config", file}, map[string]string{env: "env=x"}, "env=x"},
		"set to nothing is set":         {[]string{"--config", file}, map[string]string{env: ""}, ""},
		"file":                          {[]string{"--config=" + file}, nil, "file=x"},
		"file of the environment":       {nil, map[string]string{"THROUGHLINE_CONFIG": file}, "file=x"},
		"a line break after the path":   {nil, map[string]string{"THROUGHLINE_CONFIG": file + "\n"}, "file=x"},
		"nested, and a list":            {[]string{"--config", nested}, nil, "a=x,b=y"},
		"a broken file is Parse's":      {[]string{"--config", broken}, nil, ""},
		"a missing file is Parse's":     {[]string{"--config", "/nowhere.yaml"}, nil, ""},
		"a line break at the end":       {nil, map[string]string{env: "env=x\n"}, "env=x"},
		"another flag of the same head": {[]string{"--named-sources-file=x"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, settings.Peek(tc.args, lookup(tc.env), "named-sources", env))
		})
	}
}
