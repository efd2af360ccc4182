package looker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of System Activity. Source: docs.cloud.google.com/looker "Usage reports with
// System Activity Explores" (History keeps 90 days, Event a million rows; see_system_activity
// is needed), API reference "Query" (a query without a limit has 500 rows, and 5,000 is
// the most that many instances give whatever is asked for).
const (
	history = "history"
	events  = "event"

	model    = "system__activity"
	mostRows = 5000
	keeps    = 90 * 24 * time.Hour
	// late is how long a row may not be there after its time: it is written when the
	// query has run, and System Activity is cached.
	late = time.Hour
	// whole is a window that any period fits into: a walk by id has no windows.
	whole = 200 * 365 * 24 * time.Hour
)

// fields are the columns that are asked for.
var fields = map[string][]string{
	history: {"history.id", "history.created_time", "history.source", "history.status", "query.model", "query.view", "dashboard.title", "look.title", "user.id", "user.email"},
	events:  {"event.id", "event.created_time", "event.name", "event.category", "user.id", "user.email"},
}

var _ source.Pager = looker{}

// Streams implements source.Pager.
func (looker) Streams() []source.Stream {
	return []source.Stream{
		{Name: history, Window: whole, Keeps: keeps, Poll: true, Late: late},
		{Name: events, Window: whole, Poll: true, Late: late},
	}
}

// cursor is where a walk goes on.
type cursor struct {
	After int64 `json:"after"`
}

// Page implements source.Pager. Rows are walked by their id, in the order of which they
// were made, with times in UTC. At the beginning it also asks for the oldest row that
// there is: where that is later than the period's beginning, rows were pruned.
func (looker) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	if fields[q.Stream] == nil {
		return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("Looker has no stream %q", q.Stream))
	}
	var page source.APIPage
	var c cursor
	var err error
	if q.Cursor == nil {
		if page.Gaps, err = pruned(ctx, api, q); err != nil {
			return source.APIPage{}, fmt.Errorf("asking for the oldest row: %w", err)
		}
	} else if err := json.Unmarshal(q.Cursor, &c); err != nil {
		return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor is none of this version (%w)", source.ErrCursorGone))
	}
	filters := map[string]string{q.Stream + ".created_time": q.From.UTC().Format(time.DateTime) + " to " + q.To.UTC().Format(time.DateTime)}
	if c.After > 0 {
		filters[q.Stream+".id"] = ">" + strconv.FormatInt(c.After, 10)
	}
	rows, err := run(ctx, api, q.Stream, fields[q.Stream], filters, mostRows)
	if err != nil {
		return source.APIPage{}, err
	}
	last := c.After
	for _, row := range rows.Elements() {
		id, _, err := rowOf(row, q.Stream)
		if err != nil {
			return source.APIPage{}, err
		}
		if id <= last {
			return source.APIPage{}, lie(errors.New("the rows do not come behind those of the page before, in the order of their ids"))
		}
		last = id
		page.Parts = append(page.Parts, source.Part{Value: row.Bytes(), Object: row})
	}
	if len(page.Parts) >= mostRows { // as many as there may be: there may be more
		page.Next, err = json.Marshal(cursor{last})
	}
	return page, err
}

// pruned gives the gap between the period's beginning and the oldest row that there is.
func pruned(ctx context.Context, api source.Doer, q source.Query) ([]source.Gap, error) {
	rows, err := run(ctx, api, q.Stream, []string{q.Stream + ".id", q.Stream + ".created_time"}, nil, 1)
	if err != nil {
		return nil, err
	}
	for _, row := range rows.Elements() {
		id, at, err := rowOf(row, q.Stream)
		if err != nil {
			return nil, err
		}
		if id == 1 || !at.After(q.From) {
			return nil, nil
		}
		return []source.Gap{{
			Object:  source.Reference{Source: name, Kind: q.Stream, ID: strconv.FormatInt(id-1, 10)},
			Missing: 1,
			Why: fmt.Sprintf("the oldest row of %s that Looker still has is %d, of %s: those since %s before it were pruned, or never were",
				q.Stream, id, at.UTC().Format(time.RFC3339), q.From.UTC().Format(time.RFC3339)),
		}}, nil
	}
	return nil, nil
}

// rowOf reads a row's id, which comes as a number and as text, and its time, which has
// no zone: the query asks for UTC.
func rowOf(row rawjson.Value, view string) (id int64, at time.Time, err error) {
	id, err = strconv.ParseInt(row.Get(view+".id").Literal(), 10, 64)
	if err != nil || id < 1 {
		return 0, at, lie(fmt.Errorf("a row has no %s.id", view))
	}
	if at, err = source.ParseTime(row.Get(view + ".created_time").Literal()); err != nil {
		return 0, at, lie(fmt.Errorf("a row has no %s.created_time that can be read", view))
	}
	return id, at, nil
}

// run runs a query of System Activity, the lowest ids first.
func run(ctx context.Context, api source.Doer, view string, columns []string, filters map[string]string, most int) (rawjson.Value, error) {
	// Without cache: what was asked for a moment ago is not what there is.
	rows, err := ask(ctx, api, http.MethodPost, "/queries/run/json?cache=false&limit="+strconv.Itoa(most), map[string]any{
		"model": model, "view": view, "fields": columns, "filters": filters, "sorts": []string{view + ".id"}, "limit": strconv.Itoa(most), "query_timezone": "UTC",
	})
	if err != nil {
		return rows, err
	}
	switch {
	case rows.Kind() != rawjson.Array:
		return rows, lie(errors.New("the answer is no array of rows"))
	case rows.Len() > most:
		return rows, lie(fmt.Errorf("the answer has %d rows where %d were asked for", rows.Len(), most))
	}
	for _, row := range rows.Elements() {
		if row.Get("looker_error").Exists() {
			return rows, lie(errors.New("the query failed (looker_error, with 200): does the key's user have see_system_activity?"))
		}
	}
	return rows, nil
}
