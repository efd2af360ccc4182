package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// An address that was erased is taken in no field, the field is named, and the audit log does not have it either.
func TestErasedAddressesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.pool.Exec(t.Context(), `WITH d AS (INSERT INTO link_decisions (verb, learned, author) VALUES ('erase', 'operator', 'ada') RETURNING id),
		e AS (INSERT INTO erasures (kind, label, digest, decision_id, requested_by, state) SELECT 'reference', 'email', '', id, 'ada', 'done' FROM d RETURNING id, decision_id)
		INSERT INTO suppressions (digest, erasure_id, source, kind, decision_id, mentions) SELECT reference_digest('email', 'email', '', 'bob@x.example'), id, 'email', 'email', decision_id, true FROM e`)
	require.NoError(t, err)
	const bob = "Bob bob@x.example"
	waits := w.quarantined("unresolved_account", "cus_9")
	name, owner := bob, bob
	for want, do := range map[string]func() error{
		"name": func() error { _, err := w.CreateAccount(w.operator(), backend.NewAccount{Name: bob}); return err },
		"owner": func() error {
			_, err := w.CreateAccount(w.operator(), backend.NewAccount{Name: "Lee", Owner: bob})
			return err
		},
		"name ": func() error {
			_, err := w.ChangeAccount(w.operator(), w.acme, backend.AccountChange{Name: &name})
			return err
		},
		"owner ": func() error {
			_, err := w.ChangeAccount(w.operator(), w.acme, backend.AccountChange{Owner: &owner})
			return err
		},
		"reason": func() error {
			_, err := w.MergeAccount(w.operator(), w.beta, w.acme, bob, false)
			return err
		},
		"reason ": func() error { _, err := w.DecideDomain(w.operator(), "agency.example", "public", bob); return err },
		"note": func() error {
			_, err := w.Discard(w.operator(), backend.Selection{IDs: []int64{waits}, Note: bob})
			return err
		},
		"comment": func() error {
			_, err := w.SilenceAlerts(w.operator(), backend.NewSilence{Rule: "drift", For: time.Hour, Comment: bob})
			return err
		},
		"path": func() error {
			_, err := w.SaveView(w.operator(), "his", "/search?words=bob%40x.example", false)
			return err
		},
	} {
		said := problem.From(do())
		require.Equal(t, 409, said.Status, "%s: %+v", want, said)
		require.Equal(t, strings.TrimSpace(want), said.Field)
		require.Contains(t, said.Detail, "holds an address that was erased on request")
		require.Contains(t, said.Detail, "`throughline erasures lift 1`")
	}
	require.Equal(t, 9, w.count("SELECT count(*) FROM audit_log WHERE result = 'refused'"))
	require.Zero(t, w.count("SELECT count(*) FROM audit_log WHERE target || why ILIKE '%bob@x.example%'"))
}

// What is wrong with a text is said of the field that has it.
func TestTheFieldOfAComment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, text := range []string{"a\x1bb", strings.Repeat("é", 501)} {
		_, err := w.SilenceAlerts(w.operator(), backend.NewSilence{Rule: "drift", For: time.Hour, Comment: text})
		require.Equal(t, "comment", problem.From(err).Field)
		_, err = w.Discard(w.operator(), backend.Selection{IDs: []int64{1}, Note: text})
		require.Equal(t, "note", problem.From(err).Field)
		_, err = w.MergeAccount(w.operator(), w.beta, w.acme, text, true)
		require.Equal(t, "reason", problem.From(err).Field)
	}
	name := "New"
	_, err := w.ChangeAccount(as(t.Context(), access.Operator), [16]byte{}, backend.AccountChange{Name: &name})
	require.Equal(t, "no account has the id 00000000-0000-0000-0000-000000000000", problem.From(err).Detail)
}

// JSON that Postgres cannot hold is in quarantine with the vendor's bytes.
func TestALoneSurrogateKeepsItsBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const value = `{"id": "evt_1", "note": "half \ud800 of a pair"}`
	_, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), []quarantine.Letter{{At: time.Now(),
		DeadLetter: event.DeadLetter{Value: []byte(value), Topic: "raw.stripe", Source: "stripe", SourceEventID: "evt_1", Type: "x", Reason: string(fault.Unstorable), Error: "a lone surrogate"}}})
	require.NoError(t, err)
	list, err := w.Quarantine(w.viewer(), backend.QuarantineQuery{Reason: string(fault.Unstorable)})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	d, err := w.QuarantineRecord(w.viewer(), list.Items[0].ID)
	require.NoError(t, err)
	require.Equal(t, value, string(d.Raw))
	require.Nil(t, d.Payload)
}
