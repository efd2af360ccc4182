package service_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestSoftLimit(t *testing.T) {
	t.Parallel()
	fails := func(err error) memlimit.Provider { return func() (uint64, error) { return 0, err } }
	for name, tc := range map[string]struct {
		most      settings.Bytes
		container memlimit.Provider
		want      int64
	}{
		"the setting in a large container":   {256 << 20, memlimit.Limit(8 << 30), 256 << 20},
		"a small container":                  {256 << 20, memlimit.Limit(100 << 20), 90 << 20},
		"the container alone":                {0, memlimit.Limit(100 << 20), 90 << 20},
		"a container without a limit":        {256 << 20, fails(memlimit.ErrNoLimit), 256 << 20},
		"a container that cannot be read":    {256 << 20, fails(errors.New("no")), 256 << 20},
		"neither":                            {0, fails(memlimit.ErrNoLimit), math.MaxInt64},
		"a container larger than any memory": {0, memlimit.Limit(math.MaxUint64), math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, service.SoftLimit(tc.most, tc.container))
		})
	}
}

// Not parallel: the limit is the whole process's.
func TestLimitMemory(t *testing.T) {
	t.Setenv("GOGC", "") // so that it comes back
	require.NoError(t, os.Unsetenv("GOGC"))
	before := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetMemoryLimit(before); debug.SetGCPercent(percent) })
	require.Equal(t, int64(64<<20), service.LimitMemory(64<<20))
	require.Equal(t, int64(64<<20), debug.SetMemoryLimit(-1))
	var cfg struct{ settings.Common }
	var out bytes.Buffer
	code := service.MainWith(t.Context(), "sink", "Writes.", &cfg, []string{"--memory-limit=48MiB", "--admin-addr="},
		func(context.Context, *service.Runtime) error { return nil }, settings.WithOutput(&out, &out))
	require.Zero(t, code)
	require.Equal(t, int64(48<<20), debug.SetMemoryLimit(-1))
	require.Contains(t, out.String(), `"memory_limit":"48MiB"`)
	service.LimitMemory(64 << 20)
	t.Setenv("GOMEMLIMIT", "1GiB")
	require.Equal(t, int64(64<<20), service.LimitMemory(128<<20), "what the runtime was told stays")
	require.Equal(t, 300, debug.SetGCPercent(50))
	t.Setenv("GOGC", "50")
	service.LimitMemory(64 << 20)
	require.Equal(t, 50, debug.SetGCPercent(50), "what the runtime was told stays")
}
