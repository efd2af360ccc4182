package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for value, want := range map[since]time.Time{
		"":                          {},
		"all":                       {},
		"30m":                       now.Add(-30 * time.Minute),
		"12h":                       now.Add(-12 * time.Hour),
		"90d":                       time.Date(2025, 12, 31, 12, 0, 0, 0, time.UTC),
		"2w":                        time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC),
		"1y":                        time.Date(2025, 3, 31, 12, 0, 0, 0, time.UTC),
		"2026-01-31":                time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T15:04":          time.Date(2026, 1, 31, 15, 4, 0, 0, time.UTC),
		"2026-01-31T15:04:05.5Z":    time.Date(2026, 1, 31, 15, 4, 5, 5e8, time.UTC),
		"2026-01-31T15:04:05+02:00": time.Date(2026, 1, 31, 13, 4, 5, 0, time.UTC),
		"2026-01-31 15:04:05":       time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC),
	} {
		got, err := value.time(now)
		require.NoError(t, err, value)
		require.True(t, want.Equal(got), "%s: %s", value, got)
	}
	for _, value := range []since{"d", "-1d", "90", "1.5h", "tomorrow", "2026-13-01", "99999999d", "4294967295y", "90 d"} {
		require.Error(t, value.Validate(), value)
	}
}

// Accounts with long names and domains fit a terminal of 80 columns, with their whole ids.
func TestAccountsFitATerminal(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a long word ", 10)
	cells := [][]string{{long, strings.ReplaceAll(long, " ", "-") + ".example", "0198f0c2-7a3e-7c1d-9b60-2f9c1f4d5e6a", "12345"}}
	most, _ := fit(80, accountListColumns(), cells)
	sum := -gap
	for _, n := range most {
		if n >= 0 {
			sum += n + gap
		}
	}
	require.LessOrEqual(t, sum, 80)
	require.Equal(t, 36, most[2])
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":               "plain",
		"Grüße 👩‍💻 日本":        "Grüße 👩‍💻 日本",
		"a\tb\r\nc":           "a b  c",
		"\x1b]0;title\x07":    "<U+001B>]0;title<U+0007>",
		"\u009b31m":           "<U+009B>31m",
		"a\u202eb\u2066c":     "a<U+202E>b<U+2066>c",
		"zero\u200bwidth":     "zero<U+200B>width",
		"line\u2028separator": "line separator",
		"bad \xff utf8":       "bad \ufffd utf8",
	} {
		require.Equal(t, want, clean(in))
	}
}

func TestJSONSteersNoTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	text := "a\x1b\u009b31m\x7f\u202e\U000E0041 Grüße 👩\u200d💻 \u2028"
	require.NoError(t, writeJSON(&session{Streams: Streams{Out: &out}}, map[string]any{"subject": text, "payload": json.RawMessage(`{"x":"` + "\u009b\u2066" + `"}`)}))
	require.NotContains(t, out.String(), "\u009b")
	require.Equal(t, -1, strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && steers(r) }), out.String())
	require.Contains(t, out.String(), "Grüße 👩\u200d💻")
	var back struct {
		Subject string
		Payload struct{ X string }
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, text, back.Subject)
	require.Equal(t, "\u009b\u2066", back.Payload.X)
}

func TestWordsOfAShell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"stripe:customer:cus_1": "stripe:customer:cus_1", "a b": "'a b'", "$(reboot)": "'$(reboot)'", "it's": `'it'\''s'`, "": "''", "`x`;y": "'`x`;y'", "~root": "'~root'",
	} {
		require.Equal(t, want, shellWord(in))
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	start := func(terminal bool) (*progress, *lockedBuffer) {
		var out lockedBuffer
		s := &session{Streams: Streams{Err: &out, ErrTerminal: terminal}, now: func() time.Time { return clock }}
		return s.newProgress("importing", 200), &out
	}
	bar, out := start(true)
	bar.at(1, "1 of 200")
	bar.end()
	require.Empty(t, out.String(), "what is done at once is not shown")
	clock = clock.Add(10 * time.Second)
	bar.at(50, "50 of 200")
	bar.at(100, "100 of 200")
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "50.00%") }, 10*time.Second, time.Millisecond)
	require.Contains(t, out.String(), "importing")
	bar.end()
	shown := out.String()
	bar.end()
	require.Equal(t, shown, out.String())

	bar, out = start(false)
	bar.at(1, "1 of 200")
	clock = clock.Add(10 * time.Second)
	bar.at(50, "50 of 200")
	bar.end()
	require.Equal(t, "importing 50 of 200, 25%\n", out.String(), "in a log nothing is rewritten")
}

// lockedBuffer is written and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestColor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{terminal: true, want: true},
		{terminal: false, want: false},
		{terminal: true, env: map[string]string{"NO_COLOR": "1"}, want: false},
		{terminal: true, env: map[string]string{"NO_COLOR": ""}, want: true},
		{terminal: true, env: map[string]string{"TERM": "dumb"}, want: false},
	} {
		s := newSession(Streams{OutTerminal: c.terminal, Env: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }})
		require.Equal(t, c.want, s.color, c)
	}
}
