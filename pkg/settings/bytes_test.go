package settings_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]settings.Bytes{
		"0": 0, "1": 1, "512B": 512, "1KiB": 1 << 10, "256MiB": 256 << 20, "3GiB": 3 << 30, "2TiB": 2 << 40,
		"9223372036854775807": math.MaxInt64, "8388607TiB": 8388607 << 40,
	} {
		got, err := settings.ParseBytes(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "B", "MiB", "-1", "-1MiB", "1.5GiB", "1 MiB", "1MB", "1mib", "9223372036854775808", "8388608TiB", "18446744073709551616", "+1"} {
		got, err := settings.ParseBytes(text)
		require.Error(t, err, text)
		require.Zero(t, got)
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for value, problem := range map[string]string{
		"0": "", "32MiB": "", "1GiB": "",
		"31MiB":  "--memory-limit (THROUGHLINE_MEMORY_LIMIT) is 31MiB: it should be 0 or at least 32MiB",
		"plenty": `--memory-limit (THROUGHLINE_MEMORY_LIMIT): "plenty" is not a size: it should be like 256MiB, 1GiB or a number of bytes`,
	} {
		p := parse(t, map[string]string{"THROUGHLINE_STORAGE_URL": "x", "THROUGHLINE_MEMORY_LIMIT": value}, "")
		if problem == "" {
			require.NoError(t, p.err, value)
			require.Equal(t, value, p.cfg.MemoryLimit.String())
			continue
		}
		require.Equal(t, []string{problem}, problemsOf(t, p.err))
	}
}

func FuzzParseBytes(f *testing.F) {
	f.Add("256MiB")
	f.Add("18014398509481984KiB")
	f.Fuzz(func(t *testing.T, text string) {
		size, err := settings.ParseBytes(text)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, size, settings.Bytes(0))
		again, err := settings.ParseBytes(size.String())
		require.NoError(t, err)
		require.Equal(t, size, again)
	})
}
