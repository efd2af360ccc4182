package settings_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestURLShowsSchemeAndHost(t *testing.T) {
	t.Parallel()
	for value, want := range map[settings.URL]string{
		"":                             "",
		"http://collector:4318":        "http://collector:4318",
		"http://collector:4318/":       "http://collector:4318",
		"postgres://db/t":              "postgres://db/[hidden]",
		"postgres://u:hunter2@db/":     "postgres://db/[hidden]",
		"https://hunter2@db":           "https://db/[hidden]",
		"https://h/x?token=hunter2":    "https://h/[hidden]",
		"https://h#hunter2":            "https://h/[hidden]",
		"https://h?hunter2":            "https://h/[hidden]",
		"postgres://u:hunter2%zz@db/t": "[hidden]", // not percent-encoded
		"postgres://u:hunter2/x@db/t":  "[hidden]",
		"postgres://u:12/hunter2@db/t": "[hidden]", // u:12 reads as a host and its port
		"hunter2":                      "[hidden]",
		"//hunter2":                    "[hidden]",
		"mailto:hunter2@h":             "[hidden]",
		"postgres:///t?host=hunter2":   "[hidden]",
	} {
		require.Equal(t, want, value.String(), string(value))
		require.Equal(t, want, fmt.Sprintf("%v", value))
		require.Equal(t, want, fmt.Sprintf("%+s", value))
		require.Equal(t, fmt.Sprintf("%q", want), fmt.Sprintf("%q", value))
		require.NotContains(t, fmt.Sprintf("%#v %x %d", value, value, value), "hunter2")
		text, err := json.Marshal(value)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%q", want), string(text))
		text, err = yaml.Marshal(value)
		require.NoError(t, err)
		require.NotContains(t, string(text), "hunter2")
	}
}

// However an address is misspelt, no more of it is shown than its host.
func FuzzURLShows(f *testing.F) {
	f.Add("postgres://u:hunter2@db/t")
	f.Add("postgres://u:1/hunter2@db")
	f.Fuzz(func(t *testing.T, text string) {
		shown := settings.URL(text).String()
		require.NotContains(t, shown, "@")
		if host, ok := strings.CutSuffix(shown, "/[hidden]"); ok {
			require.Contains(t, text, "://")
			require.Equal(t, 2, strings.Count(host, "/"))
		}
	})
}
