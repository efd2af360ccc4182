package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

// TestEveryServiceUnderItsOwnRole is the story and all that people do about it, each service a process that connects
// under a login role with its own privileges only, and the command line under the operator's. The receiver is told of no
// database at all.
func TestEveryServiceUnderItsOwnRole(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	logins := postgrestest.Logins(t, address)
	f := newFleetAt(t, newPlaceOn(t, streamtest.Embedded(t), address))
	setting := func(p *child, variables ...string) { p.env = append(p.env, variables...) }
	setting(f.receiver, "THROUGHLINE_POSTGRES_URL=")
	setting(f.normalizer, "THROUGHLINE_POSTGRES_URL="+logins[postgres.RoleNormalizer])
	setting(f.quarantine, "THROUGHLINE_POSTGRES_URL="+logins[postgres.RoleQuarantine])
	// There is nothing to migrate, so that it may ask.
	setting(f.sink, "THROUGHLINE_POSTGRES_URL="+logins[postgres.RoleSink], "THROUGHLINE_SINK_MIGRATE=true")
	f.postgres = logins[postgres.RoleOperator]
	f.startAll()
	tellStory(t, f.place, f.url(), newRand(t))

	// One sink merges the payload index, which only the owner may, and measures it.
	f.await("the sink to keep the payload index", func() (bool, string) {
		n := f.count("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory' AND a.usename LIKE '%sink_login' AND a.datname = current_database()")
		return n == 1, fmt.Sprint(n)
	})
	f.await("the pending list to be empty", func() (bool, string) {
		pages, err := postgres.PendingPages(t.Context(), openPool(t, logins[postgres.RoleSink]))
		return err == nil && pages == 0, fmt.Sprint(pages, err)
	})

	// What the users read.
	reader := *f.place
	reader.postgres = logins[postgres.RoleReader]
	require.Equal(t, story.Timeline(), reader.psqlTimeline(usersQuery, story.Account))
	require.Contains(t, reader.throughline("timeline", story.Account.String(), "--since=1000d"), "invoice.paid")

	// Accounts and links, by a file and one by one.
	var csv bytes.Buffer
	csv.WriteString("name,domain,stripe\nAcme,acme.example,cus_1\n")
	for i := range 1500 { // enough for an import to ask for new statistics
		fmt.Fprintf(&csv, "Filler %d,filler%d.example,\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(file, csv.Bytes(), 0o600))
	f.throughline("accounts", "import", file)
	f.throughline("accounts", "add", "Beta", "--domain", "beta.example")
	f.throughline("accounts", "add", "Gamma")
	f.throughline("accounts", "rename", "Gamma", "Delta")
	f.throughline("accounts", "list", "Delta")
	before := f.onTimelines()
	on := func(account string, want int) {
		t.Helper()
		f.await(fmt.Sprintf("%d events on %s", want, account), func() (bool, string) {
			got := f.count("SELECT count(*) FROM account_events e JOIN accounts a ON a.id = e.account_id WHERE a.name = $1", account)
			return got == want, fmt.Sprintf("%d, %d open", got, f.open())
		})
	}
	charges := func(from, to int) {
		var values [][]byte
		for n := from; n < to; n++ {
			values = append(values, stripeCharge(n, "cus_1", ""))
		}
		f.publish("stripe", values...)
	}
	charges(0, 20)
	on("Acme", 20)

	// Off the timeline and back, by links.
	f.throughline("unlink", "stripe:cus_1", "--reason", "Beta's card")
	f.openBecomes(20)
	f.throughline("link", "stripe:cus_1", "Beta", "--wait")
	on("Beta", 20)
	f.throughline("relink", "stripe:cus_1", "Acme")
	on("Acme", 20)
	f.throughline("links", "deny", "stripe:cus_1", "Beta")
	f.throughline("links")
	f.throughline("links", "log", "Acme")

	// Events that the sink writes after the decision that took their link: it puts them right itself.
	f.sink.kill()
	seen := func() int {
		f.tap.mu.Lock()
		defer f.tap.mu.Unlock()
		return f.tap.outRecords
	}
	written := seen()
	charges(20, 30)
	await(t, patience, "the normalizer to resolve ten more", func() (bool, string) { return seen() == written+10, fmt.Sprint(seen() - written) })
	f.throughline("unlink", "stripe:cus_1")
	f.openBecomes(20)
	f.sink.start(stable)
	f.openBecomes(30)
	require.Equal(t, before, f.onTimelines())
	require.Equal(t, 10, f.count("SELECT count(*) FROM quarantine_decisions WHERE note LIKE 'decision % took it off the timeline' AND decided_by = 'ledger'"), "the sink returned them")
	f.throughline("link", "stripe:cus_1", "Acme", "--wait")
	on("Acme", 30)

	// An event that says something else under the identity of one that is there, and what people do about it.
	f.publish("stripe", bytes.Replace(stripeCharge(0, "cus_1", ""), []byte(`"amount": 100`), []byte(`"amount": 200`), 1))
	f.openBecomes(1)
	require.Contains(t, f.throughline("events", "conflicts"), "evt_0")
	require.Contains(t, f.throughline("quarantine", "list", "--json"), "evt_0")
	id := f.strings("SELECT id::text FROM quarantine WHERE status = 'open'")[0]
	f.throughline("quarantine", "show", id)
	f.throughline("quarantine", "discard", id, "--yes")
	f.openBecomes(0)
	f.throughline("quarantine", "release", id)
	f.openBecomes(1) // it contradicts still
	f.throughline("quarantine", "discard", id, "--yes")

	f.throughline("accounts", "merge", "Acme", "Beta", "--yes")
	on("Beta", 30)
	acme := f.strings("SELECT id::text FROM accounts WHERE name = 'Acme'")[0]
	f.throughline("accounts", "split", acme)
	on("Acme", 30)
	f.throughline("accounts", "remove", "Delta")
	f.throughline("accounts", "moves")

	asking := f.askStripe(logins)

	// Changes were published, and nobody wanted for a privilege.
	f.await("all changes to be published", func() (bool, string) {
		n := f.count("SELECT count(*) FROM account_changes WHERE published_at IS NULL")
		return n == 0, fmt.Sprint(n)
	})
	f.tap.settle(patience)
	for _, p := range append(f.all(), asking...) {
		log, err := os.ReadFile(p.log)
		require.NoError(t, err)
		for line := range strings.Lines(string(log)) {
			require.NotContains(t, line, "42501", p.name)
			require.NotContains(t, line, "permission denied", p.name)
		}
	}
}
