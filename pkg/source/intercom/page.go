package intercom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	conversations = "conversations"
	contacts      = "contacts"
	companies     = "companies"
	tickets       = "tickets"

	pageConversations = 20 // each is a request more
	pageContacts      = 150
	pageTickets       = 50 // with up to 500 parts each
	pageCompanies     = 100
	// mostParts is how many parts Intercom gives of a conversation or a ticket.
	mostParts = 500
	// late is how long the search may not find what is new ("a few minutes").
	late = 15 * time.Minute
	// longestDay is that on which a clock is put back, and an hour more.
	longestDay = 26 * time.Hour
	// whole is a window that any period fits into.
	whole = 200 * 365 * 24 * time.Hour
	// scrollLasts is how long an open scroll may not be used before it ends.
	scrollLasts = time.Minute
)

var _ source.Pager = intercom{}

// Streams implements source.Pager. Conversations are told when they were created and by
// their parts, contacts when they were created and merged.
func (intercom) Streams() []source.Stream {
	return []source.Stream{
		{Name: companies, Window: whole, Late: late}, {Name: contacts, Window: whole, Late: late},
		{Name: conversations, Window: whole, Late: late}, {Name: tickets, Window: whole, Late: late},
	}
}

// Page implements source.Pager. A page of conversations is one request for the search
// and one for each that has parts.
//
// A search is walked in the order of creation, which nothing changes, beneath one bound
// of the date of change that stands still: what happens meanwhile moves nothing.
func (intercom) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	c, err := begin(ctx, api, q)
	if err != nil {
		return source.APIPage{}, err
	}
	w := walk{ctx: ctx, api: api, app: c.App, from: q.From, to: q.To}
	var more bool
	switch q.Stream {
	case conversations:
		more, err = w.search(&c, conversations, pageConversations, q.From.Add(-time.Second), w.conversation)
	case contacts:
		// Dates of contacts are compared by day, in a zone that the workspace has:
		// `>` begins after the end of the day that is given.
		more, err = w.search(&c, contacts, pageContacts, q.From.Add(-longestDay), w.contact)
	case tickets:
		more, err = w.search(&c, tickets, pageTickets, q.From.Add(-time.Second), w.ticket)
	case companies:
		more, err = w.scroll(&c)
	default:
		err = fault.Permanent(fault.Malformed, fmt.Errorf("Intercom has no stream %q", q.Stream))
	}
	if err != nil {
		return source.APIPage{}, err
	}
	page := source.APIPage{Others: w.read, Gaps: w.gaps}
	if page.Parts, err = w.parts(); err != nil || !more {
		return page, err
	}
	page.Next, err = json.Marshal(c)
	return page, err
}

// cursor is where a walk goes on.
type cursor struct {
	App   string `json:"app"`
	After string `json:"after,omitempty"`
	// Pages moves where a scroll's parameter stays the same.
	Pages int `json:"pages,omitempty"`
}

// begin reads the cursor. At the beginning it asks which workspace the key is of:
// conversations and tickets do not say.
func begin(ctx context.Context, api source.Doer, q source.Query) (c cursor, err error) {
	if q.Cursor != nil {
		if err := json.Unmarshal(q.Cursor, &c); err != nil || c.App == "" {
			return c, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor is none of this version (%w)", source.ErrCursorGone))
		}
		return c, nil
	}
	me, err := ask(ctx, api, http.MethodGet, "/me", nil)
	if err != nil {
		return c, fmt.Errorf("asking for the workspace: %w", err)
	}
	if c.App = me.top.At("app", "id_code").Text(); c.App == "" {
		return c, lie(errors.New("the answer does not name the key's workspace (app.id_code)"))
	}
	return c, nil
}

// walk is one page's work.
type walk struct {
	ctx      context.Context // of the call
	api      source.Doer
	app      string
	from, to time.Time
	read     int // objects
	gaps     []source.Gap

	notices []notice
}

// notice is a notification as Intercom would have sent it, but for its own id, and with
// what it was made of. Form keeps the two apart.
type notice struct {
	Type      string         `json:"type"`
	Topic     string         `json:"topic"`
	App       string         `json:"app_id"`
	CreatedAt int64          `json:"created_at"`
	Data      map[string]any `json:"data"`
	API       string         `json:"api"`
}

// add adds what happened within the period. A time that Intercom cannot have is none
// (0, or before there was Intercom): such an object tells nothing.
func (w *walk) add(topic, of string, at rawjson.Value, item any) {
	when, ok := firstTime(at)
	if !ok || when.Before(w.from) || !when.Before(w.to) {
		return
	}
	w.notices = append(w.notices, notice{
		Type: "notification_event", Topic: topic, App: w.app, CreatedAt: when.Unix(), API: of,
		Data: map[string]any{"type": "notification_event_data", "item": item},
	})
}

// search asks for the next objects of a kind that were changed after a time, and hands
// each on.
func (w *walk) search(c *cursor, kind string, size int, after time.Time, each func(rawjson.Value) error) (more bool, err error) {
	pagination := map[string]any{"per_page": size}
	if c.After != "" {
		pagination["starting_after"] = c.After
	}
	path := "/" + kind + "/search"
	if kind == contacts {
		path += "?include_merge_history=true"
	}
	a, err := ask(w.ctx, w.api, http.MethodPost, path, map[string]any{
		"query":      map[string]any{"operator": "AND", "value": []any{map[string]any{"field": "updated_at", "operator": ">", "value": max(0, after.Unix())}}},
		"sort":       map[string]string{"field": "created_at", "order": "ascending"},
		"pagination": pagination,
	})
	if err != nil {
		if c.After != "" && a.status == http.StatusBadRequest && strings.Contains(a.code, "invalid") {
			err = fmt.Errorf("%w (%w)", err, source.ErrCursorGone)
		}
		return false, fmt.Errorf("searching %s: %w", kind, err)
	}
	list, ok := intercom{}.List(a.top)
	next := a.top.At("pages", "next", "starting_after").Text()
	switch {
	case !ok:
		return false, lie(errors.New("the answer is no list of " + kind))
	case list.Len() > size:
		return false, lie(fmt.Errorf("the list has %d %s where %d were asked for", list.Len(), kind, size))
	case list.Len() == 0 && next != "":
		return false, lie(errors.New("the list is empty and says that there are more"))
	case next != "" && next == c.After:
		return false, lie(errors.New("the cursor does not move"))
	}
	for _, object := range list.Elements() {
		if object.Get("id").Literal() == "" {
			return false, lie(errors.New("an object of the list has no id"))
		}
		if err := each(object); err != nil {
			return false, err
		}
		w.read++
	}
	c.After = next
	return next != "", nil
}

// conversation adds that it was created, and its parts, which take a request.
func (w *walk) conversation(found rawjson.Value) error {
	topic := "conversation.user.created"
	if roleOf(found.At("source", "author", "type")) == teammate {
		topic = "conversation.admin.single.created"
	}
	w.add(topic, conversations, found.Get("created_at"), json.RawMessage(found.Bytes()))
	count, counted := found.At("statistics", "count_conversation_parts").Int()
	if counted && count == 0 {
		return nil
	}
	one := found.Get("id").Literal()
	a, err := ask(w.ctx, w.api, http.MethodGet, "/conversations/"+url.PathEscape(one), nil)
	switch {
	case a.status == http.StatusNotFound:
		return nil // deleted meanwhile
	case err != nil:
		return fmt.Errorf("reading a conversation: %w", err)
	case a.top.Get("id").Literal() != one:
		return lie(errors.New("the API gives another conversation than was asked for"))
	}
	parts := a.top.At("conversation_parts", "conversation_parts")
	if parts.Kind() != rawjson.Array {
		return lie(errors.New("a conversation has no array of parts"))
	}
	head := members(a.top, "type", "id", "created_at", "contacts", "company")
	for _, part := range parts.Elements() {
		if topic := repliedTopic(part); topic != "" {
			item := map[string]any{"conversation_parts": map[string]any{
				"type": "conversation_part.list", "conversation_parts": []json.RawMessage{part.Bytes()}, "total_count": 1,
			}}
			for name, member := range head {
				item[name] = member
			}
			w.add(topic, conversations, part.Get("created_at"), item)
		}
	}
	if after, ok := a.top.At("statistics", "count_conversation_parts").Int(); ok {
		count = after
	}
	w.gap(kindConversation, one, int(count), parts, "conversation")
	return nil
}

// gap notes parts that Intercom counts and does not give, unless they are older than
// the period.
func (w *walk) gap(kind, id string, count int, parts rawjson.Value, what string) {
	given := parts.Len()
	if count <= given {
		return
	}
	oldest := w.to
	for _, part := range parts.Elements() {
		if at, ok := firstTime(part.Get("created_at")); ok && at.Before(oldest) {
			oldest = at
		}
	}
	if oldest.Before(w.from) {
		return
	}
	w.gaps = append(w.gaps, source.Gap{
		Object:  source.Reference{Source: name, Tenant: w.app, Kind: kind, ID: id},
		Missing: count - given,
		Why:     fmt.Sprintf("Intercom counts %d parts of the %s and gives %d; it gives the newest %d at most", count, what, given, mostParts),
	})
}

// repliedTopic gives the topic that told of a part, or "" where it says nothing: an
// assignment without words has no identity that the API could meet.
func repliedTopic(part rawjson.Value) string {
	if len(part.Get("body").TextBytes()) == 0 && part.Get("attachments").Len() == 0 {
		return ""
	}
	note := strings.HasPrefix(part.Get("part_type").Text(), "note")
	switch roleOf(part.At("author", "type")) {
	case customer:
		return "conversation.user.replied"
	case teammate:
		if note {
			return "conversation.admin.noted"
		}
		return "conversation.admin.replied"
	case bot:
		return "conversation.operator.replied"
	}
	return ""
}

// contact adds that it was created, and what was merged into it.
func (w *walk) contact(found rawjson.Value) error {
	w.add(createdTopic(found), contacts, found.Get("created_at"), json.RawMessage(found.Bytes()))
	for _, merge := range found.Get("merge_history").Elements() {
		item := map[string]any{"merged_from": map[string]any{"type": "contact", "id": merge.Get("source_contact_id").Text(), "role": merge.Get("source_contact_role").Text()}, "merged_at": json.RawMessage(merge.Get("merged_at").Bytes())}
		for name, member := range members(found, "type", "id", "workspace_id", "external_id", "role", "email", "companies") {
			item[name] = member
		}
		w.add("contact.merged", contacts, merge.Get("merged_at"), item)
	}
	return nil
}

// ticket adds that it was created, and its parts, which it has with it.
func (w *walk) ticket(found rawjson.Value) error {
	w.add("ticket.created", tickets, found.Get("created_at"), json.RawMessage(found.Bytes()))
	head := members(found, "type", "id", "ticket_id", "contacts", "company_id", "created_at")
	parts := found.At("ticket_parts", "ticket_parts")
	for _, part := range parts.Elements() {
		topic := ""
		switch replied := repliedTopic(part); replied {
		case "":
		case "conversation.user.replied":
			topic = "ticket.contact.replied"
		case "conversation.admin.noted":
			topic = "ticket.note.created"
		default:
			topic = "ticket.admin.replied"
		}
		if topic != "" {
			w.add(topic, tickets, part.Get("created_at"), map[string]any{"type": "ticket", "ticket": head, "ticket_part": json.RawMessage(part.Bytes())})
		}
	}
	count, _ := found.At("ticket_parts", "total_count").Int()
	w.gap(kindTicket, found.Get("id").Literal(), int(count), parts, "ticket")
	return nil
}

// scroll adds that companies were created. It has no order and no bound, lasts a minute
// after each page, and cannot be gone on with after an error: it begins again, and the
// timeline knows what of it is there.
func (w *walk) scroll(c *cursor) (more bool, err error) {
	path := "/companies/scroll"
	if c.After != "" {
		path += "?scroll_param=" + url.QueryEscape(c.After)
	}
	a, err := ask(w.ctx, w.api, http.MethodGet, path, nil)
	switch {
	case a.code == "scroll_exists":
		err = source.Later(fault.Transient(fault.Unavailable, errors.New("another scroll through the workspace's companies is open (scroll_exists)")), scrollLasts)
	case c.After != "" && (a.status == http.StatusBadRequest || a.status == http.StatusNotFound || a.status == http.StatusInternalServerError):
		err = fault.Permanent(fault.Unavailable, fmt.Errorf("the scroll has ended before its end: %w (%w)", err, source.ErrCursorGone))
	}
	if err != nil {
		return false, fmt.Errorf("scrolling through companies: %w", err)
	}
	list, next := a.top.Get("data"), a.top.Get("scroll_param").Text()
	switch {
	case list.Kind() != rawjson.Array:
		return false, lie(errors.New("the answer is no list of companies"))
	case list.Len() > pageCompanies:
		return false, lie(fmt.Errorf("the list has %d companies, and Intercom gives %d", list.Len(), pageCompanies))
	case list.Len() > 0 && next == "":
		return false, lie(errors.New("the list of companies has no scroll_param"))
	}
	for _, company := range list.Elements() {
		w.add("company.created", companies, company.Get("created_at"), json.RawMessage(company.Bytes()))
		w.read++
	}
	c.After = next
	c.Pages++
	return list.Len() > 0, nil
}

// parts gives the notices, the oldest first.
func (w *walk) parts() ([]source.Part, error) {
	slices.SortStableFunc(w.notices, func(a, b notice) int { return int(min(1, max(-1, a.CreatedAt-b.CreatedAt))) })
	parts := make([]source.Part, 0, len(w.notices))
	for _, n := range w.notices {
		text, err := json.Marshal(n)
		if err != nil {
			return nil, lie(fmt.Errorf("an object cannot be written: %w", err))
		}
		parts = append(parts, source.Part{Value: text, Tenant: w.app})
	}
	return parts, nil
}

// members gives those of an object that it has.
func members(object rawjson.Value, names ...string) map[string]json.RawMessage {
	found := map[string]json.RawMessage{}
	for _, name := range names {
		if member := object.Get(name); member.Exists() {
			found[name] = member.Bytes()
		}
	}
	return found
}
