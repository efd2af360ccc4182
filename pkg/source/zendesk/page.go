package zendesk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the incremental exports. Sources:
// developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/
// (paths, members, per_page, the sideload comment_events; a time-based page has all items of its last second) and
// /documentation/ticketing/managing-tickets/using-the-incremental-export-api (items in
// the order of their last change; the last minute left out; a time-based export may
// repeat items, and its end stands where end_time does).
const (
	ticketEventsWindow = 30 * 24 * time.Hour
	// always is longer than any period: one export walks through it.
	always = math.MaxInt64 / 2 * time.Nanosecond
	// late covers the minute that an export leaves out, and clocks that disagree.
	late = 15 * time.Minute
	// mostRepeats bounds how many ids of a page's last second a cursor remembers.
	mostRepeats = 64
)

// perPage are how many items a page is asked for, the fewer where an answer is too large.
var perPage = []string{"1000", "100", "10", "1"}

// export is an incremental export: what was created or changed since a time, in that
// order, as it is now.
type export struct {
	stream, path string
	list         string // the member with the items
	changed      string // the member of an item that the export is ordered by
	byCursor     bool   // else by time
	immutable    bool   // items do not change: what is after the period is nothing to it
	include      string
	// events appends what an item says happened.
	events func(made []source.Part, item rawjson.Value, q source.Query) []source.Part
}

func exports() []export {
	return []export{
		{stream: "tickets", path: exportPath + "tickets/cursor.json", list: "tickets", changed: "updated_at", byCursor: true, events: created(ticketCreated)},
		{stream: "ticket_events", path: exportPath + "ticket_events.json", list: "ticket_events", changed: "created_at", immutable: true, include: "comment_events", events: comments},
		{stream: "users", path: exportPath + "users/cursor.json", list: "users", changed: "updated_at", byCursor: true, events: created(userCreated)},
		{stream: "organizations", path: exportPath + "organizations.json", list: "organizations", changed: "updated_at", events: created(organizationCreated)},
	}
}

// Streams implements source.Pager. Tickets, users and organizations are listed by
// their last change, so what was created in a period is found only by walking from
// its beginning to today, in one window.
func (zendesk) Streams() []source.Stream {
	var streams []source.Stream
	for _, e := range exports() {
		s := source.Stream{Name: e.stream, Window: always, Late: late}
		if e.immutable {
			s.Window = ticketEventsWindow
		}
		streams = append(streams, s)
	}
	return streams
}

// Page implements source.Pager.
func (zendesk) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	for _, e := range exports() {
		if e.stream == q.Stream {
			return e.page(ctx, api, q)
		}
	}
	return source.APIPage{}, fault.Permanent(fault.Unsupported, fmt.Errorf("%w: %q", errNoStream, q.Stream))
}

func (e export) page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	at, err := e.place(q)
	if err != nil {
		return source.APIPage{}, err
	}
	var answer rawjson.Value
	for _, most := range perPage {
		ask := url.Values{"per_page": {most}}
		if at.Cursor != "" {
			ask.Set("cursor", at.Cursor)
		} else {
			ask.Set("start_time", strconv.FormatInt(at.Time, 10))
		}
		if e.include != "" {
			ask.Set("include", e.include)
		}
		var refused int
		if answer, refused, err = get(ctx, api, e.path, ask); isOversized(err) {
			continue
		}
		if at.Cursor != "" && (refused == http.StatusBadRequest || refused == http.StatusNotFound || refused == http.StatusUnprocessableEntity) {
			err = fmt.Errorf("%w (%w)", err, source.ErrCursorGone)
		}
		break
	}
	var recent *tooRecentError
	switch {
	case errors.As(err, &recent) && time.Unix(at.Time, 0).Sub(recent.now) < late:
		return source.APIPage{}, nil // there is nothing yet
	case err != nil:
		return source.APIPage{}, fmt.Errorf("exporting %s: %w", e.list, err)
	}
	items := answer.Get(e.list)
	if items.Kind() != rawjson.Array {
		return source.APIPage{}, lie("the export has no array %s", e.list)
	}
	next, err := e.next(answer, at)
	if err != nil {
		return source.APIPage{}, err
	}
	var page source.APIPage
	for _, item := range items.Elements() {
		had := len(page.Parts)
		if !slices.Contains(at.Repeats, text(item.Get("id"))) {
			page.Parts = e.events(page.Parts, item, q)
		}
		if len(page.Parts) == had {
			page.Others++
		}
	}
	switch {
	case next == nil, e.immutable && next.Time >= q.To.Unix():
		return page, nil
	case !e.byCursor:
		next.Repeats = e.last(items, next.Time)
	}
	page.Next, err = json.Marshal(next)
	return page, err
}

// place is where an export goes on.
type place struct {
	Cursor string `json:"cursor,omitempty"`
	Time   int64  `json:"time,omitempty"`
	// Repeats are the ids of the page's last second, which the next page has again.
	Repeats []string `json:"repeats,omitempty"`
}

func (export) place(q source.Query) (at place, err error) {
	if q.Cursor == nil {
		return place{Time: q.From.Unix()}, nil
	}
	if err = json.Unmarshal(q.Cursor, &at); err != nil || at.Cursor == "" && at.Time == 0 {
		return at, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor cannot be read (%w)", source.ErrCursorGone))
	}
	return at, nil
}

// next is where the page after this answer begins, or nil.
func (e export) next(answer rawjson.Value, at place) (*place, error) {
	end := answer.Get("end_of_stream")
	switch {
	case end.Kind() == rawjson.Bool && end.Bool():
		return nil, nil
	case e.byCursor && end.Kind() != rawjson.Bool:
		return nil, lie("the export does not say whether this is its end_of_stream")
	case e.byCursor:
		cursor := answer.Get("after_cursor").Text()
		if cursor == "" || len(cursor) > source.MaxCursorBytes/2 {
			return nil, lie("the export has more, but its after_cursor is no text to go on from")
		}
		return &place{Cursor: cursor}, nil
	}
	last := answer.Get("end_time")
	until, ok := last.Int()
	switch {
	case last.Kind() == rawjson.Null, !last.Exists():
		return nil, nil
	case !ok, until < at.Time:
		return nil, lie("the export's end_time is no time to go on from")
	case until == at.Time:
		// It stands still, for ever if one asks so again. All of its second is on the
		// page, and the next may be behind it.
		return &place{Time: until + 1}, nil
	}
	return &place{Time: until}, nil
}

// last gives the ids of the items of the page's last second.
func (e export) last(items rawjson.Value, second int64) (ids []string) {
	for _, item := range items.Elements() {
		at, err := source.ParseTime(text(item.Get(e.changed)))
		if id := text(item.Get("id")); err == nil && at.Unix() >= second && len(ids) < mostRepeats && len(id) < 24 {
			ids = append(ids, id)
		}
	}
	return ids
}

// created gives the fact that an item was created, in the period, as the webhook's
// event of this type tells it. What says no time is passed on, for somebody to see.
func created(vendor string) func([]source.Part, rawjson.Value, source.Query) []source.Part {
	return func(made []source.Part, item rawjson.Value, q source.Query) []source.Part {
		if item.Kind() != rawjson.Object {
			return append(made, source.Part{Value: item.Bytes()})
		}
		if !within(item.Get("created_at"), q) {
			return made
		}
		value := begin(vendor, item.Get("created_at"), item.Get("id"))
		value = append(append(value, `,"detail":`...), item.Bytes()...)
		return append(made, source.Part{Value: append(value, '}')})
	}
}

// comments gives the comments of a ticket's audit. That of its creation is the
// ticket's description, which is no reply; and the changes beside comments have ids
// that no webhook tells, so they would come twice.
func comments(made []source.Part, audit rawjson.Value, q source.Query) []source.Part {
	if audit.Kind() != rawjson.Object {
		return append(made, source.Part{Value: audit.Bytes()})
	}
	children := audit.Get("child_events")
	for _, child := range children.Elements() {
		if kind(child) == "Create" {
			return made
		}
	}
	for _, child := range children.Elements() {
		if kind(child) != "Comment" || !child.Get("id").Exists() || !within(audit.Get("created_at"), q) {
			continue
		}
		value := begin(commentAdded, audit.Get("created_at"), audit.Get("ticket_id"))
		value = append(append(value, `,"detail":{"id":`...), literal(audit.Get("ticket_id"))...)
		value = append(value, `},"event":{"comment":{`...)
		// As the webhook names them.
		if !child.Get("is_public").Exists() {
			value = append(append(append(value, `"is_public":`...), literal(child.Get("public"))...), ',')
		}
		if !child.Get("author").Exists() {
			value = append(append(append(value, `"author":{"id":`...), literal(child.Get("author_id"))...), `},`...)
		}
		value = append(value, child.Bytes()[1:]...)
		made = append(made, source.Part{Value: append(value, `}}`...)})
	}
	return made
}

// kind is that of a part of an audit: with the sideload a Comment says it twice.
func kind(child rawjson.Value) string {
	if event := child.Get("event_type").Text(); event != "" {
		return event
	}
	return child.Get("type").Text()
}

// begin is the envelope of an event, open.
func begin(vendor string, at, id rawjson.Value) []byte {
	domain := vendor[:slices.Index([]byte(vendor), '.')]
	value := fmt.Appendf(nil, `{"type":"%s%s","time":`, vendorPrefix, vendor)
	value = append(value, literal(at)...)
	if object := text(id); object != "" && isID(object) {
		value = fmt.Appendf(value, `,"subject":"zen:%s:%s"`, domain, object)
	}
	return value
}

// isID: digits or a word, which need no quoting.
func isID(text string) bool {
	return !slices.ContainsFunc([]byte(text), func(c byte) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

func literal(v rawjson.Value) []byte {
	if !v.Exists() {
		return []byte("null")
	}
	return v.Bytes()
}

// within: what says no time is, so that it is seen.
func within(at rawjson.Value, q source.Query) bool {
	t, err := source.ParseTime(text(at))
	return err != nil || !t.Before(q.From) && t.Before(q.To)
}
