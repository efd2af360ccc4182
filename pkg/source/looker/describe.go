package looker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// errNoRows holds what the owner of a schedule can do about a delivery without
// rows.
var errNoRows = errors.New(`no rows that can be read: choose "JSON — Simple" as the schedule's format (CSV, "JSON — Detailed" and a dashboard's CSV zip are read too)`)

// Describe reads a row's record or a bare row of System Activity; see the package
// comment.
func (l looker) Describe(r source.Record) (source.Event, error) {
	top := r.Object
	plan, row, attachment := top.Get("scheduled_plan"), top.Get("row"), top.Get("attachment")
	switch {
	case plan.Exists() && row.Exists():
		tenant := cmp.Or(planHost(plan), host(r.Tenant))
		return l.describeRow(plan, row, tenant, receipt(top.Get("received_on"), r.ReceivedAt))
	case plan.Exists() || attachment.Exists():
		if found, err := rows(top); err == nil && found.Exists() {
			return source.Event{}, source.Malformed("this is a whole delivery: post it to the receiver, which makes a record of each row")
		}
		return source.Event{}, fault.Permanent(fault.Unsupported, fmt.Errorf("this delivery (type %.20q, extension %.20q) has %w",
			top.Get("type").Text(), attachment.Get("extension").Text(), errNoRows))
	}
	if event, ok, err := l.describeActivity(columnsOf(top), host(r.Tenant), r.ReceivedAt); ok {
		return event, err
	}
	return source.Event{}, source.Malformed("this is neither a row of a scheduled plan nor one of System Activity (history.id, event.id)")
}

// describeRow describes a record that Split made.
func (l looker) describeRow(plan, row rawjson.Value, tenant string, received time.Time) (source.Event, error) {
	if row.Kind() != rawjson.Object {
		return source.Event{}, source.Malformed("the row is not a JSON object but a %s", row.Kind())
	}
	columns := columnsOf(row)
	if len(columns) == 0 {
		return source.Event{}, source.Malformed("the row has no columns")
	}
	query := plan.Get("query")
	if query.Get("model").Is("system__activity") {
		if event, ok, err := l.describeActivity(columns, tenant, received); ok {
			return event, err
		}
	}
	// One report is told from another by its scheduled plan, which Looker numbers
	// or names, else (a delivery that somebody sent once) by its query.
	report, number := "plan", plan.Get("scheduled_plan_id").Literal()
	if number == "" {
		report, number = "query", plan.Get("query_id").Literal()
	}
	sum := sha256.Sum256(rawjson.Canonical(row))
	id := []string{report, number, query.Get("view").Text(), hex.EncodeToString(sum[:16])}
	at, dated, err := l.latest(columns, received)
	if err != nil {
		return source.Event{Type: typeReported, Tenant: tenant}, err
	}
	if !dated {
		at = received
		id = append(id, received.UTC().Format(time.DateOnly))
	}
	refs, err := l.references(tenant, columns)
	if err != nil {
		return source.Event{ID: source.ID(tenant, id...), Type: typeReported, Tenant: tenant}, err
	}
	return source.Event{
		ID: source.ID(tenant, id...), Type: typeReported, OccurredAt: at, Tenant: tenant,
		References: refs, Subject: plan.Get("title").Text(),
	}, nil
}

// planHost is the instance that a scheduled plan says it is of, or "".
func planHost(plan rawjson.Value) string {
	domain, _ := source.Domain(plan.Get("url").Text())
	return domain
}

// host gives the one form of the instance that is set, so that
// https://Acme.looker.com:19999/ and acme.looker.com are one. What is no domain
// stays as it is.
func host(tenant string) string {
	if domain, ok := source.Domain(tenant); ok {
		return domain
	}
	return tenant
}

// receipt is when a record's delivery was received: the record's own time while
// it agrees with the day in the value, else the start of that day, as when the
// value is published again a year later.
func receipt(day rawjson.Value, receivedAt time.Time) time.Time {
	start, err := time.Parse(time.DateOnly, day.Text())
	if err != nil || start.Equal(receivedAt.UTC().Truncate(24*time.Hour)) {
		return receivedAt
	}
	return start
}

// describeActivity describes a row of System Activity; ok is false when the row
// is none.
func (l looker) describeActivity(columns columns, tenant string, received time.Time) (event source.Event, ok bool, err error) {
	for _, kind := range [...]string{"history", "event"} {
		id := columns.get(kind + ".id").Literal()
		if id == "" {
			continue
		}
		refs, err := l.references(tenant, columns)
		if err != nil {
			return source.Event{ID: source.ID(tenant, kind, id), Type: typeQuery, Tenant: tenant}, true, err
		}
		event := source.Event{
			ID: source.ID(tenant, kind, id), Type: typeQuery, Tenant: tenant, References: refs,
			Subject: cmp.Or(columns.get("dashboard.title").Text(), columns.get("look.title").Text()),
		}
		if kind == "event" {
			event.Type = activityType(columns.get("event.name").Text())
		}
		event.OccurredAt, err = l.activityTime(columns, kind, received)
		return event, true, err
	}
	return source.Event{}, false, nil
}

// activityTime is when a row of System Activity was made; zoneless times are UTC,
// which is what a poller asks for (query_timezone).
func (l looker) activityTime(columns columns, kind string, received time.Time) (time.Time, error) {
	for _, field := range [...]string{".created_raw", ".created_time"} {
		if t := columns.get(kind + field).Literal(); t != "" {
			at, err := source.ParseTime(t)
			if err != nil {
				return time.Time{}, fmt.Errorf("reading %s: %w", kind+field, err)
			}
			return at, nil
		}
	}
	at, ok, err := l.latest(columns, received)
	if err != nil || ok {
		return at, err
	}
	return received, nil
}
