package looker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// advice is what the owner of a schedule can do about a delivery without rows.
const advice = `schedule a Look or an Explore (not a dashboard) and choose "JSON — Simple" as its format`

// Describe reads a row's record or a bare row of System Activity; see the package
// comment.
func (looker) Describe(r source.Record) (source.Event, error) {
	doc := gjson.ParseBytes(r.Value)
	if !doc.IsObject() {
		return source.Event{}, malformed("the record is not a JSON object")
	}
	top := doc.Map() // a record's top level is small: an envelope, or one row
	row, wrapped := top["row"]
	plan, planned := top["scheduled_plan"]
	switch _, attached := top["attachment"]; {
	case wrapped && planned:
		return describeWrapped(plan, row, top["received_on"], r)
	case attached || planned:
		if found, err := rows(r.Object); err == nil && found.Exists() {
			return source.Event{}, malformed("this is a whole delivery: post it to the receiver, which makes a record of each row")
		}
		return source.Event{}, fault.Permanent(fault.Unsupported, fmt.Errorf(
			"this delivery (type %.20q, extension %.20q) has no rows that can be read: %s",
			top["type"].String(), top["attachment"].Get("extension").String(), advice))
	}
	if event, ok, err := describeActivity(columnsOf(doc), host(r.Tenant), r.ReceivedAt); ok {
		return event, err
	}
	return source.Event{}, malformed("this is neither a row of a scheduled plan nor one of System Activity (history.id, event.id)")
}

// describeWrapped describes a record that Split made.
func describeWrapped(plan, row, receivedOn gjson.Result, r source.Record) (source.Event, error) {
	if !row.IsObject() {
		return source.Event{}, malformed("the row is not a JSON object but " + row.Type.String())
	}
	columns := columnsOf(row)
	if len(columns) == 0 {
		return source.Event{}, malformed("the row has no columns")
	}
	tenant := planTenant([]byte(plan.Raw))
	if tenant == "" {
		tenant = host(r.Tenant)
	}
	received := receipt(receivedOn.String(), r.ReceivedAt)
	if plan.Get("query.model").Str == "system__activity" {
		if event, ok, err := describeActivity(columns, tenant, received); ok {
			return event, err
		}
	}
	sum, err := rowSum(row.Raw)
	if err != nil {
		return source.Event{}, err
	}
	id := planID(plan) + "|" + plan.Get("query.view").String() + "|" + sum
	at, dated := latest(columns, received)
	if !dated {
		at = received
		id += "|" + received.UTC().Format(time.DateOnly)
	}
	return source.Event{
		ID: scoped(tenant, id), Type: typeReported, OccurredAt: at, Tenant: tenant,
		References: references(tenant, columns), Subject: plan.Get("title").String(),
	}, nil
}

// receipt is when a record's delivery was received: the record's own time while
// it agrees with the day in the value, else the start of that day, as when the
// value is published again a year later.
func receipt(day string, receivedAt time.Time) time.Time {
	start, err := time.Parse(time.DateOnly, day)
	if err != nil || receivedAt.UTC().Format(time.DateOnly) == day {
		return receivedAt
	}
	return start
}

// planID tells one report from another: the scheduled plan, which Looker numbers
// or names, else (a delivery that somebody sent once) the query.
func planID(plan gjson.Result) string {
	for _, field := range []string{"scheduled_plan_id", "query_id"} {
		if id := text(plan.Get(field)); id != "" {
			if field == "query_id" {
				return "query " + id
			}
			return id
		}
	}
	return "-"
}

// rowSum is a digest of what a row says, whatever the order of its columns, its
// white space and its escapes. Numbers count as they are written, so that large
// ids stay apart.
func rowSum(raw string) (string, error) {
	row := jsontext.Value(raw)
	if err := row.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return "", fault.Permanent(fault.Malformed, fmt.Errorf("reading the row: %w", err))
	}
	sum := sha256.Sum256(row)
	return hex.EncodeToString(sum[:16]), nil
}

// describeActivity describes a row of System Activity; ok is false when the row
// is none.
func describeActivity(columns []column, tenant string, receivedAt time.Time) (event source.Event, ok bool, err error) {
	for _, kind := range []string{"history", "event"} {
		id := textOf(columns, kind+".id")
		if id == "" {
			continue
		}
		event := source.Event{
			ID: scoped(tenant, kind+":"+id), Type: typeQuery, Tenant: tenant, References: references(tenant, columns),
		}
		if kind == "event" {
			event.Type = activityType(textOf(columns, "event.name"))
		}
		for _, title := range []string{"dashboard.title", "look.title"} {
			if event.Subject == "" {
				event.Subject = textOf(columns, title)
			}
		}
		event.OccurredAt, err = activityTime(columns, kind, receivedAt)
		return event, true, err
	}
	return source.Event{}, false, nil
}

// activityTime is when a row of System Activity was made; zoneless times are UTC,
// which is what a poller asks for (query_timezone).
func activityTime(columns []column, kind string, receivedAt time.Time) (time.Time, error) {
	for _, field := range []string{".created_raw", ".created_time"} {
		if t := textOf(columns, kind+field); t != "" {
			at, err := source.ParseTime(t)
			if err != nil {
				return time.Time{}, fmt.Errorf("reading %s: %w", kind+field, err)
			}
			return at, nil
		}
	}
	if at, ok := latest(columns, receivedAt); ok {
		return at, nil
	}
	return receivedAt, nil
}

// scoped puts the instance before an id that is unique within it only.
func scoped(tenant, id string) string {
	if tenant == "" {
		return id
	}
	return tenant + ":" + id
}

func malformed(why string) error { return fault.Permanent(fault.Malformed, errors.New(why)) }
