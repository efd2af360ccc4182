package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/doctor"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// oldPrograms names the folder with the programs of an older version: .ci/upgrade builds them.
const oldPrograms = "THROUGHLINE_TEST_OLD_PROGRAMS"

// nextSchema is what the migrations of a next version may do to the tables that this version writes and reads.
const nextSchema = `
ALTER TABLE account_events ADD COLUMN next_region TEXT NOT NULL DEFAULT 'eu', ADD COLUMN next_note TEXT;
ALTER TABLE account_event_origins ADD COLUMN next_hops INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN next_priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN next_segment TEXT NOT NULL DEFAULT '';
ALTER TABLE account_links ADD COLUMN next_seen TIMESTAMPTZ;
CREATE INDEX next_region_idx ON account_events (next_region, occurred_at);
CREATE TABLE next_things (id BIGSERIAL PRIMARY KEY, event_id BIGINT NOT NULL);
CREATE FUNCTION note_next_thing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO next_things (event_id) VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER next_things_noted AFTER INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION note_next_thing();
INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true);`

// TestTheSchemaIsNewer migrates the database to a next version's schema under the feet of services that do not know it, and
// replaces them one by one, as an upgrade does. They say in words that the schema is newer, stay ready, and nothing is lost.
func TestTheSchemaIsNewer(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	f := newFleet(t, streamtest.Embedded(t))
	admins := map[*child]string{f.normalizer: freeAddress(t), f.sink: freeAddress(t), f.quarantine: freeAddress(t)}
	f.receiver.start(stable)
	for _, c := range []*child{f.normalizer, f.sink, f.quarantine} {
		c.start(stable, "THROUGHLINE_ADMIN_ADDR="+admins[c])
	}
	l := startLoad(t, f.place, f.url(), random)
	f.works(l, "before the migration")
	f.await("the schema to change", func() (bool, string) { // services lock tables meanwhile, in an order of their own: a deadlock ends one
		_, err := f.pool.Exec(t.Context(), nextSchema)
		return err == nil, fmt.Sprint(err)
	})
	f.works(l, "on the newer schema")
	for c, address := range admins {
		f.await(c.name+" to say that the schema is newer", func() (bool, string) {
			note, ready := schemaNote(t, address)
			return ready && note == "the schema is newer than this program: it is at version 99999, and this program knows up to "+knownVersion(t, f.place)+"; it works on, because migrations only add", note
		})
	}
	findings, _ := f.diagnose("--only", "postgres.schema", "--admin", "http://"+admins[f.sink])
	require.Equal(t, doctor.Warning, findings["postgres.schema"].State)

	l.linkLater()

	// Those of the next version join the same groups, and the old ones leave.
	next := newFleetOf(t, f.place, "next-", f.listen, func(name string) string { return program(t, name) })
	for i, old := range []*child{f.normalizer, f.sink, f.quarantine} {
		[]*child{next.normalizer, next.sink, next.quarantine}[i].start("THROUGHLINE_KAFKA_INSTANCE_ID=next")
		f.works(l, "beside the next "+old.name)
		old.interrupt()
		next.alive()
		f.works(l, "without the old "+old.name)
	}
	f.receiver.interrupt()
	next.receiver.start("THROUGHLINE_KAFKA_INSTANCE_ID=next")
	next.works(l, "with the next receiver")
	l.end()
	l.compare()
	require.Equal(t, f.onTimelines()-f.count("SELECT count(*) FROM account_events WHERE id < (SELECT min(event_id) FROM next_things)"),
		f.count("SELECT count(*) FROM next_things"), "what the next version's trigger does is done for what old services write")
}

// schemaNote asks a service for its note on the schema, and whether that part is ready.
func schemaNote(t *testing.T, address string) (note string, ready bool) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/readyz?verbose") //nolint:noctx // a test's
	if err != nil {
		return err.Error(), false
	}
	defer answer.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var report service.HealthReport
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&report))
	for _, c := range report.Components {
		if c.Name == "schema" {
			return c.Note, c.Ready
		}
	}
	return "it says nothing of the schema", false
}

// knownVersion is the newest version that the programs' own migrations have brought.
func knownVersion(t *testing.T, p *place) string {
	t.Helper()
	return p.strings("SELECT max(version_id)::text FROM goose_db_version WHERE version_id < 99999")[0]
}
