package settings

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionOf(t *testing.T) {
	t.Parallel()
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for want, info := range map[string]debug.BuildInfo{
		"devel":                    {Main: debug.Module{Version: "(devel)"}},
		"v1.2.3":                   {Main: debug.Module{Version: "v1.2.3"}},
		"devel+0123456789ab":       {Settings: []debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"), setting("vcs.modified", "false")}},
		"devel+0123456789ab-dirty": {Settings: []debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"), setting("vcs.modified", "true")}},
	} {
		require.Equal(t, want, versionOf(&info))
	}
}
