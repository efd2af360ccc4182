package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// all reads a list to its end, page by page, and refuses an item that comes twice.
func all[T any](t *testing.T, limit int, read func(p backend.Paging) (backend.Page[T], error), id func(T) any) (items []T) {
	t.Helper()
	seen := map[any]bool{}
	p := backend.Paging{Limit: limit}
	for range 100 {
		page, err := read(p)
		require.NoError(t, err)
		require.NotNil(t, page.Items)
		require.LessOrEqual(t, len(page.Items), limit)
		for _, item := range page.Items {
			require.False(t, seen[id(item)], "%v comes twice", id(item))
			seen[id(item)] = true
		}
		items = append(items, page.Items...)
		if p.Cursor = page.Next; p.Cursor == "" {
			return items
		}
	}
	t.Fatal("the list does not end")
	return nil
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var ids []int64
	for i := range 7 {
		ids = append(ids, w.event(w.pool, w.acme, []string{"invoice.paid", "charge.refunded"}[i%2], `{"subject": "paid"}`))
	}
	// The same times: the order is by id then.
	ids = append(ids, w.event(w.pool, w.acme, "charge.refunded", `{}`))
	_, err := w.pool.Exec(t.Context(), "UPDATE account_events e SET occurred_at = f.occurred_at, ingested_at = f.ingested_at FROM account_events f WHERE e.id = $1 AND f.id = $2", ids[7], ids[6])
	require.NoError(t, err)
	w.event(w.pool, w.beta, "invoice.paid", `{}`)
	read := func(q backend.TimelineQuery) []int64 {
		var got []int64
		for _, e := range all(t, 3, func(p backend.Paging) (backend.Page[api.Event], error) {
			q.Account, q.Paging = w.acme, p
			return w.Timeline(w.viewer(), q)
		}, func(e api.Event) any { return e.ID }) {
			got = append(got, e.ID)
		}
		return got
	}
	require.Equal(t, ids, read(backend.TimelineQuery{}))
	newest := read(backend.TimelineQuery{Newest: true, WithoutBodies: true})
	slices.Reverse(newest)
	require.Equal(t, read(backend.TimelineQuery{}), newest)
	require.Equal(t, []int64{ids[0], ids[2], ids[4], ids[6]}, read(backend.TimelineQuery{Type: "invoice.paid"}))
	third, err := w.Event(w.viewer(), ids[2])
	require.NoError(t, err)
	fifth, err := w.Event(w.viewer(), ids[4])
	require.NoError(t, err)
	require.Equal(t, ids[2:4], read(backend.TimelineQuery{Since: third.OccurredAt, Until: fifth.OccurredAt}))

	page, err := w.Timeline(w.viewer(), backend.TimelineQuery{Account: w.acme, WithoutBodies: true, Paging: backend.Paging{Limit: 1}})
	require.NoError(t, err)
	require.Equal(t, "null", string(page.Items[0].Payload))
	require.Equal(t, "paid", page.Items[0].Subject)
	for name, q := range map[string]backend.TimelineQuery{
		"other parameters": {Account: w.acme, Newest: true, Paging: backend.Paging{Cursor: page.Next}},
		"garbage":          {Account: w.acme, Paging: backend.Paging{Cursor: "!"}},
		"not ours":         {Account: w.acme, Paging: backend.Paging{Cursor: "e30"}},
		"of another list":  {Account: w.beta, Paging: backend.Paging{Cursor: page.Next}},
	} {
		_, err := w.Timeline(w.viewer(), q)
		require.Equal(t, "cursor", problem.From(err).Field, name)
		require.Equal(t, 400, problem.From(err).Status, name)
	}
	_, err = w.Timeline(w.viewer(), backend.TimelineQuery{Account: uuid.New()})
	require.Equal(t, 404, problem.From(err).Status)

	d, err := w.Density(w.viewer(), w.acme, "", "", 3)
	require.NoError(t, err)
	require.Len(t, d.Spans, 3)
	require.EqualValues(t, len(ids), d.Spans[0]+d.Spans[1]+d.Spans[2])
	d, err = w.Density(w.viewer(), w.beta, "", "", 2)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 0}, d.Spans)
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.Link(w.operator(), api.Linking{Reference: "stripe:cus_1", AccountID: w.acme})
	require.NoError(t, err)
	_, err = w.Link(w.operator(), api.Linking{Reference: "email:kim@home.example", AccountID: w.beta})
	require.NoError(t, err)
	w.event(w.pool, w.acme, "invoice.paid", `{"subject": "paid"}`)
	w.quarantined("unresolved_account", "cus_1")
	for text, want := range map[string]string{
		"anv": "Acme Anvils name", "acme ANV": "Acme Anvils name", "acme.ex": "Acme Anvils domain", "cus_1": "Acme Anvils stripe:customer:cus_1",
		"stripe:customer:cus_1": "Acme Anvils stripe:customer:cus_1", w.acme.String(): "Acme Anvils id", "KIM@home.example": "Beta Bolts email:kim@home.example",
		"nvils": "", "100%": "", "'; DROP TABLE accounts": "", "&|!():*<->": "", "cus_": "", "\\": "", "a' | 'b": "",
	} {
		found := all(t, 1, func(p backend.Paging) (backend.Page[api.AccountSummary], error) {
			return w.Accounts(w.viewer(), text, "", p)
		},
			func(a api.AccountSummary) any { return a.ID })
		got := make([]string, len(found))
		for i, a := range found {
			got[i] = a.Name + " " + a.Matched
		}
		require.Equal(t, want, strings.Join(got, ", "), text)
	}
	list := all(t, 1, func(p backend.Paging) (backend.Page[api.AccountSummary], error) {
		return w.Accounts(w.viewer(), "", "kim@us.example", p)
	},
		func(a api.AccountSummary) any { return a.ID })
	require.Len(t, list, 2)
	require.Equal(t, "paid", list[0].LastEvent.Subject)
	require.EqualValues(t, 1, list[0].Events7Days)
	require.EqualValues(t, 1, list[0].OpenQuarantine)
	require.Nil(t, list[1].LastEvent)

	name, owner := "Acme", "lee@us.example"
	changed, err := w.ChangeAccount(w.operator(), w.acme, backend.AccountChange{Name: &name, Owner: &owner, Reason: "renamed by the customer"})
	require.NoError(t, err)
	require.Equal(t, name, changed.Name)
	one, err := w.Account(w.viewer(), w.acme)
	require.NoError(t, err)
	require.Equal(t, owner, one.Owner)
	_, err = w.MergeAccount(w.operator(), w.beta, w.acme, "one customer", false)
	require.NoError(t, err)
	merged := all(t, 10, func(p backend.Paging) (backend.Page[api.AccountSummary], error) {
		return w.Accounts(w.viewer(), "Bolts", "", p)
	},
		func(a api.AccountSummary) any { return a.ID })
	require.Len(t, merged, 1)
	require.Equal(t, w.acme, merged[0].ID, "a merged account's name means the one that took its place")
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i := range 5 {
		w.event(w.pool, w.acme, "invoice.paid", fmt.Sprintf(`{"amount": %d, "subject": "Invoice %d was 100%% paid"}`, i, i))
	}
	w.event(w.pool, w.beta, "customer.deleted", `{"amount": 3, "subject": "Gone"}`)
	search := func(q backend.SearchQuery) int {
		return len(all(t, 2, func(p backend.Paging) (backend.Page[api.Found], error) {
			q.Paging = p
			found, err := w.Search(w.viewer(), q)
			return backend.Page[api.Found]{Items: found.Items, Next: found.Next}, err
		}, func(f api.Found) any { return f.ID }))
	}
	require.Equal(t, 2, search(backend.SearchQuery{Contains: `{"amount": 3}`}))
	require.Equal(t, 1, search(backend.SearchQuery{Contains: `{"amount": 3}`, Account: "Beta Bolts"}))
	require.Equal(t, 3, search(backend.SearchQuery{Path: `$.amount ? (@ > 2)`}))
	require.Equal(t, 5, search(backend.SearchQuery{Words: "invoice PAID"}))
	require.Equal(t, 5, search(backend.SearchQuery{Words: "100% paid"}))
	require.Equal(t, 0, search(backend.SearchQuery{Words: "100_ paid"}))
	require.Equal(t, 5, search(backend.SearchQuery{Account: "acme.example"}))
	for field, q := range map[string]backend.SearchQuery{"contains": {Contains: `{"a": "\u0000"}`}, "path": {Path: "$.("}, "account": {Account: "nobody"}, "words": {Words: "a\x00"}} {
		_, err := w.Search(w.viewer(), q)
		require.Equal(t, field, problem.From(err).Field, "%+v", err)
		require.Less(t, problem.From(err).Status, 500)
	}
	_, err := w.Search(w.viewer(), backend.SearchQuery{Contains: `{"a": 1e9999999}`})
	require.Equal(t, 400, problem.From(err).Status)
	_, err = w.Search(w.viewer(), backend.SearchQuery{})
	require.Equal(t, 400, problem.From(err).Status)
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 3 {
		w.quarantined("unresolved_account", "cus_7")
	}
	w.quarantined("unresolved_account", "cus_8")
	w.quarantined("malformed", "cus_7")
	groups := all(t, 1, func(p backend.Paging) (backend.Page[api.QuarantineGroup], error) {
		return w.QuarantineGroups(w.viewer(), "", "", p)
	},
		func(g api.QuarantineGroup) any { return g.Reason + g.Reference })
	require.Len(t, groups, 3)
	require.Equal(t, "stripe:customer:cus_7", groups[0].Reference)
	require.EqualValues(t, 3, groups[0].Records)
	list := func(q backend.QuarantineQuery) int {
		return len(all(t, 2, func(p backend.Paging) (backend.Page[api.QuarantineRecord], error) {
			q.Paging = p
			return w.Quarantine(w.viewer(), q)
		}, func(r api.QuarantineRecord) any { return r.ID }))
	}
	require.Equal(t, 5, list(backend.QuarantineQuery{}))
	require.Equal(t, 4, list(backend.QuarantineQuery{Reference: "stripe:cus_7"}))
	selection := backend.Selection{Reason: "unresolved_account", Reference: "stripe:cus_7", Note: "not ours", DryRun: true}
	change, err := w.Discard(w.operator(), selection)
	require.NoError(t, err)
	require.Equal(t, 3, change.Changed)
	require.Equal(t, 5, list(backend.QuarantineQuery{}), "a dry run changes nothing")
	selection.DryRun = false
	_, err = w.Discard(w.operator(), selection)
	require.NoError(t, err)
	require.Equal(t, 2, list(backend.QuarantineQuery{}))
	require.Equal(t, 3, list(backend.QuarantineQuery{Status: "discarded"}))
	require.Equal(t, 5, list(backend.QuarantineQuery{Status: "all"}))
	waits, err := w.Reference(w.viewer(), "stripe:cus_8")
	require.NoError(t, err)
	require.EqualValues(t, 1, waits.Waiting)
	for _, s := range []backend.Selection{{}, {IDs: []int64{1}, Reason: "malformed"}} {
		_, err := w.Release(w.operator(), s)
		require.Equal(t, 400, problem.From(err).Status)
	}
}

// broken is an audit log that cannot be written.
type broken struct{ *access.Store }

func (broken) Record(context.Context, access.Actor, string, string, string, string, bool) error {
	return fault.Transient(fault.Unavailable, context.DeadlineExceeded)
}

func TestAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.Link(w.viewer(), api.Linking{Reference: "stripe:cus_1", AccountID: w.acme, Reason: "why"})
	require.Equal(t, 403, problem.From(err).Status)
	_, err = w.CreateAccount(w.operator(), backend.NewAccount{Name: "Acme", Domain: "no domain"})
	require.Equal(t, 400, problem.From(err).Status)
	_, err = w.Link(w.operator(), api.Linking{Reference: "stripe:cus_1", AccountID: w.acme, Reason: "why", DryRun: true})
	require.NoError(t, err)
	require.Zero(t, w.count("SELECT count(*) FROM account_links"))
	_, err = w.Link(w.operator(), api.Linking{Reference: "stripe:cus_1", AccountID: w.acme, Reason: "why"})
	require.NoError(t, err)
	_, err = w.Unlink(w.operator(), "stripe:cus_2", "", false, false)
	require.Equal(t, 404, problem.From(err).Status)
	entries := all(t, 2, func(p backend.Paging) (backend.Page[api.AuditEntry], error) {
		return w.Service.Audit(w.admin(), "", "", p)
	}, func(e api.AuditEntry) any { return e.ID })
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%s %s %s %s %v", e.Who, e.Action, e.Target, e.Result, e.DryRun))
	}
	require.Equal(t, []string{
		"user:operator@us.example unlinkReference stripe:customer:cus_2 refused false",
		"user:operator@us.example linkReference stripe:customer:cus_1 done false",
		"user:operator@us.example linkReference stripe:customer:cus_1 done true",
		"user:operator@us.example createAccount  refused false",
		"user:viewer@us.example linkReference stripe:cus_1 refused false",
	}, got[:5])
	decisions, err := w.Decisions(w.viewer(), "stripe:cus_1", "", backend.Paging{})
	require.NoError(t, err)
	require.Equal(t, "user:operator@us.example", decisions.Items[0].Author)

	for name, call := range map[string]func(ctx context.Context) error{
		"accounts": func(ctx context.Context) error { _, err := w.Accounts(ctx, "", "", backend.Paging{}); return err },
		"overview": func(ctx context.Context) error { _, err := w.Overview(ctx); return err },
		"feed":     func(ctx context.Context) error { _, err := w.Feed(ctx, "", "", 0, backend.Paging{}); return err },
		"tail":     func(ctx context.Context) error { _, err := w.Tail(ctx, backend.TailQuery{}); return err },
		"search":   func(ctx context.Context) error { _, err := w.Search(ctx, backend.SearchQuery{Words: "x"}); return err },
		"drift":    func(ctx context.Context) error { _, err := w.Drift(ctx, "", "", backend.Paging{}); return err },
	} {
		require.Equal(t, 403, problem.From(call(t.Context())).Status, name)
	}
	_, err = w.Service.Audit(w.operator(), "", "", backend.Paging{})
	require.Equal(t, 403, problem.From(err).Status)
	_, err = w.CreateToken(w.operator(), "ci", access.Viewer, time.Time{})
	require.Equal(t, 403, problem.From(err).Status)
	made, err := w.CreateToken(w.admin(), "ci", access.Viewer, time.Time{})
	require.NoError(t, err)
	require.NoError(t, w.RevokeToken(w.admin(), made.ID))

	other := backend.New(backend.Options{Pool: w.pool, Access: broken{}, Sources: w.sources()})
	t.Cleanup(other.Close)
	_, err = other.Link(w.operator(), api.Linking{Reference: "stripe:cus_3", AccountID: w.acme})
	require.ErrorContains(t, err, "the change was made")
	require.Contains(t, problem.From(err).Detail, "the change was made")
	require.Equal(t, 2, w.count("SELECT count(*) FROM account_links"))
}

func TestPassport(t *testing.T) {
	t.Parallel()
	original := `{"amount":1.0,  "id":"evt_1"}`
	var gone bool
	w := newWorld(t, func(o *backend.Options) {
		o.Raw = func(_ context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
			if gone || topic != "raw.stripe" || partition != 3 || offset != 17 {
				return nil, stream.ErrRecordGone
			}
			return &kgo.Record{Topic: topic, Partition: partition, Offset: offset, Value: []byte(original)}, nil
		}
	})
	_, err := w.Link(w.operator(), api.Linking{Reference: "stripe:cus_1", AccountID: w.acme, Reason: "the contract says so"})
	require.NoError(t, err)
	id := w.event(w.pool, w.acme, "invoice.paid", original)
	p, err := w.Passport(w.viewer(), id)
	require.NoError(t, err)
	require.Equal(t, "Acme Anvils", p.AccountName)
	require.Equal(t, "stripe:customer:cus_1", p.Reference)
	require.Equal(t, "the contract says so", p.Decision.Reason)
	var got []string
	for _, s := range p.Steps {
		got = append(got, s.Step)
	}
	require.Equal(t, []string{"occurred", "received", "stored"}, got)
	body, err := w.Payload(w.viewer(), id)
	require.NoError(t, err)
	require.True(t, body.Original)
	require.Equal(t, original, string(body.Body))
	gone = true
	body, err = w.Payload(w.viewer(), id)
	require.NoError(t, err)
	require.False(t, body.Original)
	require.Contains(t, body.Why, "retention")
	require.JSONEq(t, original, string(body.Body))
	_, err = w.Passport(w.viewer(), 999_999)
	require.Equal(t, 404, problem.From(err).Status)
}

func TestOverview(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.event(w.pool, w.acme, "invoice.paid", `{"subject": "paid"}`)
	w.quarantined("malformed", "cus_1")
	o, err := w.Overview(w.viewer())
	require.NoError(t, err)
	require.EqualValues(t, 1, o.OpenQuarantine)
	require.Len(t, o.Sources, len(w.sources().Names()))
	for _, s := range o.Sources {
		require.Len(t, s.Spark, 24)
		if s.Source == "stripe" {
			require.Equal(t, "paid", s.LastEvent.Subject)
			require.EqualValues(t, 1, s.Spark[23])
			require.EqualValues(t, 1, s.OpenQuarantine)
		}
	}
}

// Findings of drift are listed with who reads the field, and acknowledged by operators.
func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.pool.Exec(t.Context(), `INSERT INTO shape_findings (source, event_type, pulled, path, change, was, became, event_id, raw_topic, raw_partition, raw_offset, times, state, state_by)
		VALUES ('stripe', 'invoice.paid', false, 'data.object.amount_paid', 'vanished', 'was in each of 2000 events', 'is missing in 1', '', '', 0, 0, 1, 'open', 'drift')`)
	require.NoError(t, err)
	viewer, operator := w.viewer(), w.operator()
	found, err := w.Drift(viewer, "", "", backend.Paging{})
	require.NoError(t, err)
	require.Len(t, found.Items, 1)
	require.Equal(t, [2]string{"was in each of 2000 events", "is missing in 1"}, [2]string{found.Items[0].Was, found.Items[0].Is})
	o, err := w.Overview(viewer)
	require.NoError(t, err)
	require.EqualValues(t, 1, o.OpenFindings)
	_, err = w.AcknowledgeDrift(viewer, found.Items[0].ID, "")
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
	known, err := w.AcknowledgeDrift(operator, found.Items[0].ID, "the vendor says so")
	require.NoError(t, err)
	require.Equal(t, "acknowledged", known.State)
	for status, n := range map[string]int{"open": 0, "acknowledged": 1, "all": 1} {
		found, err = w.Drift(viewer, "stripe", status, backend.Paging{})
		require.NoError(t, err)
		require.Len(t, found.Items, n, status)
	}
	_, err = w.Drift(viewer, "", "lost", backend.Paging{})
	require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	_, err = w.AcknowledgeDrift(operator, 999, "")
	require.Equal(t, fault.NotFound, fault.ReasonOf(err))
}
