package cli_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func withQuarantine(t *testing.T) *shell {
	t.Helper()
	sh := inDatabase(t)
	sh.quarantine(3, "unresolved_account", "stripe", "stripe:customer:cus_1")
	sh.quarantine(1, "malformed", "zendesk", "zendesk:user:7")
	sh.quarantine(1, "oversized", "", "none")
	_, err := sh.pool().Exec(t.Context(), `UPDATE quarantine SET topic = 'account-events', error = E'odd\x1b[31m text', raw = '\x00ff' WHERE id = 5`)
	require.NoError(t, err)
	return sh
}

func TestQuarantineLists(t *testing.T) {
	t.Parallel()
	withQuarantine(t).golden("quarantine_list", scrubStatusTime,
		[]string{"quarantine", "list"},
		[]string{"quarantine", "list", "--reason", "malformed", "--json"},
		[]string{"quarantine", "list", "--source", "stripe", "--limit", "2"},
		[]string{"quarantine", "list", "--status", "resolved"},
		[]string{"quarantine", "list", "--status", "lost", "--reason", "bad", "--since", "ever"},
		[]string{"quarantine", "list", "--since", "2026-01-06", "--status", "all"},
		[]string{"quarantine", "show", "1"},
		[]string{"quarantine", "show", "4"},
		[]string{"quarantine", "show", "5"},
		[]string{"quarantine", "show", "1", "--json"},
		[]string{"quarantine", "show", "99"},
	)
}

func TestConflictsAreListed(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme)
	sh.quarantine(2, "conflict", "stripe", "none")
	sh.quarantine(1, "malformed", "zendesk", "zendesk:user:7")
	_, err := sh.pool().Exec(t.Context(), `UPDATE quarantine SET error = 'the timeline has another event of this identity, which differs at "/n"' WHERE id = 1;
		INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ('`+acme+`', 'invoice.paid', 'stripe', 'evt_1', '{"n": 7}', '2026-01-04T08:00:00Z', '2026-01-04T08:00:01Z')`)
	require.NoError(t, err)
	sh.golden("conflicts", scrubStatusTime,
		[]string{"events", "conflicts"},
		[]string{"events", "conflicts", "--json"},
		[]string{"events", "conflicts", "--source", "zendesk"},
		[]string{"events", "conflicts", "--source", "strype"},
		[]string{"events", "conflicts", "--limit", "-1", "--since", "ever"},
	)
}

func TestQuarantineShowRaw(t *testing.T) {
	t.Parallel()
	sh := withQuarantine(t)
	require.Equal(t, `{"n":1}`, sh.must("quarantine", "show", "1", "--raw"))
	require.Equal(t, "\x00\xff", sh.must("quarantine", "show", "5", "--raw"))
}

func TestQuarantineChanges(t *testing.T) {
	t.Parallel()
	withQuarantine(t).golden("quarantine_change", scrubStatusTime,
		[]string{"quarantine", "release"},
		[]string{"quarantine", "release", "1", "--all"},
		[]string{"quarantine", "release", "--all", "--dry-run"},
		[]string{"quarantine", "release", "--source", "stripe"},
		[]string{"quarantine", "release", "--source", "strype", "--dry-run"},
		[]string{"quarantine", "discard", "--source", "strype", "--dry-run"},
		[]string{"quarantine", "release", "1", "--note", "mended"},
		[]string{"quarantine", "release", "1"},
		[]string{"quarantine", "release", "5"},
		[]string{"quarantine", "release", "2", "2", "99", "--yes"},
		[]string{"quarantine", "discard", "--reason", "malformed", "--dry-run", "--json"},
		[]string{"quarantine", "discard", "--reason", "malformed", "--by", "sam", "--note", "a test's"},
		[]string{"quarantine", "discard", "1"},
		[]string{"quarantine", "discard", "--reason", "malformed"},
		[]string{"quarantine", "show", "4"},
		[]string{"quarantine", "release", "4"},
		[]string{"quarantine", "release", "--all", "--yes", "--json"},
		[]string{"quarantine", "list", "--status", "all"},
	)
}

func TestQuarantineAsks(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"y\n": 0, "YES\n": 0, "n\n": 1, "\n": 1, "": 1} {
		t.Run(strings.TrimSpace(answer), func(t *testing.T) {
			t.Parallel()
			sh := withQuarantine(t)
			sh.tty, sh.input = true, answer
			r := sh.run("quarantine", "release", "--source", "stripe")
			require.Equal(t, code, r.code)
			require.Contains(t, r.err, "release 3 records? [y/N] ")
			if code == 1 {
				require.Contains(t, r.err, "nothing was changed")
				require.Empty(t, sh.must("quarantine", "list", "--status", "replaying"))
			}
		})
	}
}

// A list fits a terminal of 80 columns: what is least needed is left out, and said to be.
func TestListsFitTheTerminal(t *testing.T) {
	t.Parallel()
	sh := withQuarantine(t)
	sh.env["NO_COLOR"] = "1"
	sh.must("accounts", "add", "Acme GmbH with a name that is quite long", "--id", acme)
	sh.must("link", "zendesk/8447346:organization:8447346622462", acme)
	sh.must("unlink", "zendesk/8447346:organization:8447346622462", "--reason", "it was a mistake of ours that we made on a Friday afternoon")
	sh.must("link", "zendesk/8447346:organization:8447346622462", acme)
	for _, args := range [][]string{{"links"}, {"links", "log"}, {"quarantine", "list"}, {"accounts", "moves"}, {"accounts", "list"}} {
		sh.tty, sh.width = true, 80
		narrow := sh.run(args...)
		require.Zero(t, narrow.code, narrow.err)
		require.NotEmpty(t, narrow.out, args)
		for line := range strings.Lines(narrow.out) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
		}
		sh.width = 250
		wide := sh.run(args...)
		require.NotContains(t, wide.err, "left out")
		if narrow.out != wide.out {
			require.Regexp(t, `left out, because the terminal has 80 columns: |…`, narrow.err+narrow.out)
		}
	}
	sh.tty, sh.width = false, 0
	require.Contains(t, sh.must("links"), acme)
}
