package e2e

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

// usersQuery is the query as the users wrote it. Not a letter of it is ours.
const usersQuery = `SELECT occurred_at, source, event_type, payload->>'subject' AS subject FROM account_events
WHERE account_id = $1 AND occurred_at > NOW() - INTERVAL '90 days' ORDER BY occurred_at;`

// ninetyDays is the part of it that leaves older events out.
const ninetyDays = " AND occurred_at > NOW() - INTERVAL '90 days'"

func TestStory(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Embedded(t))
	tellStory(t, p, startEmbedded(t, p), newRand(t))
}

func TestStoryOnKafka(t *testing.T) {
	t.Parallel()
	f := newFleet(t, streamtest.Kafka(t, 1).Brokers())
	f.startAll()
	tellStory(t, f.place, f.url(), newRand(t))
}

// tellStory sends the demo story in no order and everything twice, and holds
// the timeline against what it claims; then links the customer that nobody
// knew, and holds everything else against what it was.
func tellStory(t *testing.T, p *place, url string, random *rand.Rand) {
	t.Helper()
	customers, err := story.Accounts()
	require.NoError(t, err)
	_, err = p.store().Import(t.Context(), bytes.NewReader(customers), accounts.ImportOptions{By: "e2e", EveryTenant: true})
	require.NoError(t, err)
	other := p.account("Nimbus Lab", "")
	told, err := story.Tell(time.Now())
	require.NoError(t, err)

	messages := slices.Concat(told.Messages, told.Late, told.Unknown)
	messages = slices.Concat(messages, messages)
	random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	sender := story.Sender{Kafka: p.kafka, Sender: vendors.Sender{Sources: catalog.Set(), URL: url, PublicURL: publicURL, Secrets: secrets()}}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for _, m := range messages {
		// A vendor tries again: the receiver may be starting still.
		await(t, patience, "the receiver to take "+m.Source, func() (bool, string) {
			err := sender.Send(t.Context(), m)
			if err != nil {
				return false, err.Error()
			}
			return true, ""
		})
	}
	p.tap.settle(patience)

	require.Equal(t, story.Timeline(), p.psqlTimeline(usersQuery, story.Account), "the users' query")
	whole := strings.Replace(usersQuery, ninetyDays, "", 1)
	require.NotEqual(t, usersQuery, whole)
	require.Len(t, p.psqlTimeline(whole, story.Account), len(story.Timeline())+len(told.Late), "without the bound of 90 days")
	require.Equal(t, 15, p.onTimelines(), "nothing is there twice")
	require.Equal(t, len(told.Unknown), p.open(), "unknown events in quarantine, each once")
	require.Equal(t, len(told.Unknown), p.count("SELECT count(*) FROM quarantine"))

	before := p.strings("SELECT account_events::text FROM account_events ORDER BY id")
	accountsBefore := p.strings("SELECT accounts::text FROM accounts ORDER BY id")
	linked := time.Now()
	p.throughline("link", story.UnknownCustomer, other.String())
	await(t, patience, "the link to release what waits", func() (bool, string) {
		return p.onTimelines() >= len(before)+len(told.Unknown), ""
	})
	t.Logf("from the link to the timeline: %s", time.Since(linked).Round(time.Millisecond))
	p.tap.settle(patience)
	after := p.strings("SELECT account_events::text FROM account_events WHERE account_id <> $1 ORDER BY id", other)
	require.Equal(t, before, after, "the link touches nothing else")
	require.Equal(t, accountsBefore, p.strings("SELECT accounts::text FROM accounts ORDER BY id"))
	require.Equal(t, []story.Line{{Source: "stripe", Type: "customer.created"}, {Source: "stripe", Type: "charge.succeeded"}, {Source: "stripe", Type: "invoice.paid"}},
		sorted(p.psqlTimeline(usersQuery, other)))
	require.Equal(t, len(told.Unknown), p.count("SELECT count(*) FROM quarantine WHERE status = 'resolved' AND outcome = 'inserted'"))
	require.Zero(t, p.open())
	p.tap.exactlyOnce()
}

// sorted puts two events of one moment, which have no order by occurred_at
// alone, into one.
func sorted(lines []story.Line) []story.Line {
	slices.SortStableFunc(lines[1:], func(a, b story.Line) int { return strings.Compare(a.Type, b.Type) })
	return lines
}

// psqlTimeline runs a query with one parameter in psql, as a person would. A
// psql of before 16 cannot bind a parameter itself, so Postgres does.
func (p *place) psqlTimeline(query string, account uuid.UUID) (lines []story.Line) {
	p.t.Helper()
	psql := exec.CommandContext(p.t.Context(), "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--csv", "--set=ON_ERROR_STOP=1", "--dbname="+cmp.Or(p.direct, p.postgres),
		"--command=PREPARE timeline (uuid) AS "+query, "--command=EXECUTE timeline ('"+account.String()+"')")
	out, err := psql.CombinedOutput()
	require.NoError(p.t, err, "psql (apt-get install postgresql-client): %s", out)
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	require.NoError(p.t, err, "%s", out)
	for _, row := range rows {
		require.Len(p.t, row, 4)
		lines = append(lines, story.Line{Source: row[1], Type: row[2], Subject: row[3]})
	}
	return lines
}
