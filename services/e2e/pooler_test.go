package e2e

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

// TestStoryThroughPgbouncer tells the whole story with Debian's pgbouncer between
// every part and Postgres, and once more after the pooler's connections to
// Postgres were replaced by new ones, which know nothing of the old.
func TestStoryThroughPgbouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.EmptyURL(t)
			pooled, direct := postgrestest.Pgbouncer(t, url, mode), ""
			if mode == "transaction" {
				direct = url // for what needs a session: the migrations' lock, LISTEN, the keeper
			}
			var out, errs bytes.Buffer
			code := cli.Run(t.Context(), []string{"migrate"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(name string) (string, bool) {
				value := map[string]string{"THROUGHLINE_POSTGRES_URL": pooled, "THROUGHLINE_POSTGRES_DIRECT_URL": direct}[name]
				return value, value != ""
			}})
			require.Zero(t, code, errs.String())

			p := newPlaceOn(t, streamtest.Embedded(t), pooled)
			p.direct = direct
			receiver := startEmbedded(t, p)
			tellStory(t, p, receiver, newRand(t))

			before := p.throughline("timeline", story.Account.String(), "--since=1000d")
			require.Contains(t, before, "invoice.paid")
			watch := openPool(t, url)
			_, err := watch.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			require.NoError(t, err)
			mark := `{"id":"evt_pooler","object":"event","type":"invoice.paid","created":1767225600,"livemode":true,"data":{"object":{"id":"in_1","object":"invoice","customer":"` +
				strings.TrimPrefix(story.UnknownCustomer, "stripe:") + `"}}}`
			p.publish("stripe", []byte(mark))
			p.onTimelinesBecome(15 + 3 + 1)
			require.Equal(t, before, p.throughline("timeline", story.Account.String(), "--since=1000d"))
		})
	}
}
