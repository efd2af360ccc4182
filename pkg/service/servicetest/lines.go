package servicetest

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest/observer"
)

// MostLines is how many lines a process may log in a minute, whatever is wrong.
const MostLines = 100

// RequireFewLines fails the test when any minute has MostLines lines or more.
func RequireFewLines(t testing.TB, logs *observer.ObservedLogs) {
	t.Helper()
	var at []time.Time
	for _, entry := range logs.All() {
		at = append(at, entry.Time)
	}
	requireFew(t, at)
}

// RequireFewLinesIn is RequireFewLines for the file that a child process logs to, as
// JSON.
func RequireFewLinesIn(t testing.TB, file string) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	var at []time.Time
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line struct {
			TS time.Time `json:"ts"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			at = append(at, line.TS)
		}
	}
	require.NoError(t, lines.Err())
	requireFew(t, at)
}

func requireFew(t testing.TB, at []time.Time) {
	t.Helper()
	for i := MostLines - 1; i < len(at); i++ {
		if within := at[i].Sub(at[i-MostLines+1]); within < time.Minute {
			require.Fail(t, "too many lines are logged", "%d in %v", MostLines, within)
		}
	}
}
