// Package intercomapi is a fake of Intercom's API, for tests and for trying a backfill:
// searches of conversations, contacts and tickets, a conversation with its parts, the
// scroll through companies, merge history. By package fakeapi it also limits, fails and
// lies. Intercom's own SDK and a Singer tap read it (services/vendors/clients).
//
// Facts: intercom/Intercom-OpenAPI, descriptions/2.16.
package intercomapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Object is one of the API, as JSON would have it: its id is a string, its times are
// whole seconds.
type Object map[string]any

// API serves what it is given. It is safe for concurrent use.
type API struct {
	mu    sync.Mutex
	token string
	app   string
	zone  *time.Location // of the workspace
	kinds map[string][]Object
	parts map[string][]Object // by conversation, the oldest first
	// The one scroll that may be open.
	scrollID string
	scrollAt int
	scrolled time.Time
	scrolls  int
	now      func() time.Time
}

// The bounds of Intercom's API.
const (
	mostParts   = 500
	mostPage    = 150
	scrollPage  = 100
	scrollLasts = time.Minute
)

// New makes an API of a workspace without objects, in this zone, that takes this token.
func New(token, app string, zone *time.Location) *API {
	return &API{token: token, app: app, zone: zone, kinds: map[string][]Object{}, parts: map[string][]Object{}, now: time.Now}
}

// SetClock lets the API take the time from here.
func (a *API) SetClock(now func() time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = now
}

// Put adds an object of a kind ("conversations", "contacts", "tickets", "companies"), or
// replaces the one that has its id. Parts are a conversation's, the oldest first.
func (a *API) Put(kind string, o Object, parts ...Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.kinds[kind]
	if at := slices.IndexFunc(list, func(have Object) bool { return have["id"] == o["id"] }); at >= 0 {
		list[at] = o
	} else {
		a.kinds[kind] = append(list, o)
	}
	if kind == "conversations" {
		a.parts[o["id"].(string)] = parts
	}
}

// Delete forgets an object.
func (a *API) Delete(kind, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kinds[kind] = slices.DeleteFunc(a.kinds[kind], func(o Object) bool { return o["id"] == id })
}

// Merge merges a contact into another, as POST /contacts/merge does: it vanishes, and
// the other's history has it.
func (a *API) Merge(from, into string, at time.Time) {
	a.Delete("contacts", from)
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.find("contacts", into); o != nil {
		history, _ := o["merge_history"].([]any)
		o["merge_history"] = append(history, map[string]any{"type": "merge_history", "source_contact_id": from, "source_contact_role": "lead", "merged_at": at.Unix()})
		o["updated_at"] = at.Unix()
	}
}

func (a *API) find(kind, id string) Object {
	for _, o := range a.kinds[kind] {
		if o["id"] == id {
			return o
		}
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+a.token {
		refuse(w, http.StatusUnauthorized, "unauthorized", "Access Token Invalid")
		return
	}
	w.Header().Set("X-RateLimit-Limit", "1666")
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/me":
		write(w, map[string]any{"type": "admin", "id": "991267459", "email": "ana@throughline.example", "email_verified": true, "has_inbox_seat": true, "app": map[string]any{
			"type": "app", "id_code": a.app, "name": "Throughline", "created_at": 1700000000, "secure": false, "identity_verification": false, "timezone": a.zone.String(), "region": "US"}})
	case len(path) == 2 && path[1] == "search" && r.Method == http.MethodPost:
		a.search(w, r, path[0])
	case r.URL.Path == "/companies/scroll":
		a.scroll(w, r.URL.Query().Get("scroll_param"))
	case len(path) == 1 && path[0] == "companies" && r.URL.Query().Get("company_id") != "":
		at := slices.IndexFunc(a.kinds["companies"], func(o Object) bool { return o["company_id"] == r.URL.Query().Get("company_id") })
		if at < 0 {
			refuse(w, http.StatusNotFound, "company_not_found", "Company Not Found")
			return
		}
		write(w, a.kinds["companies"][at])
	case len(path) == 3 && path[0] == "contacts" && path[2] == "merge_history":
		a.mergeHistory(w, r, path[1])
	case len(path) == 3 && path[0] == "contacts" && path[2] == "companies":
		a.companiesOf(w, path[1])
	case len(path) == 2 && slices.Contains([]string{"conversations", "contacts", "tickets", "companies"}, path[0]):
		a.retrieve(w, path[0], path[1])
	case len(path) == 1 && path[0] == "tags":
		write(w, map[string]any{"type": "list", "data": []any{}})
	default:
		refuse(w, http.StatusNotFound, "not_found", "The requested resource was not found")
	}
}

func (a *API) retrieve(w http.ResponseWriter, kind, id string) {
	o := a.find(kind, id)
	for _, other := range a.kinds[kind] { // a merged contact's id leads to the other
		history, _ := other["merge_history"].([]any)
		if slices.ContainsFunc(history, func(one any) bool { return one.(map[string]any)["source_contact_id"] == id }) {
			o = other
		}
	}
	if o == nil {
		refuse(w, http.StatusNotFound, "not_found", "Resource Not Found")
		return
	}
	o = maps.Clone(o)
	if kind == "conversations" {
		parts := a.parts[id]
		newest := parts[max(0, len(parts)-mostParts):]
		o["conversation_parts"] = map[string]any{"type": "conversation_part.list", "conversation_parts": list(newest), "total_count": len(newest)}
	}
	write(w, o)
}

func list(objects []Object) []Object {
	if objects == nil {
		return []Object{}
	}
	return objects
}

// mergeHistory lists what was merged into a contact that is a user.
func (a *API) mergeHistory(w http.ResponseWriter, r *http.Request, id string) {
	o := a.find("contacts", id)
	if o == nil || o["role"] != "user" {
		refuse(w, http.StatusNotFound, "not_found", "Contact not found")
		return
	}
	history, _ := o["merge_history"].([]any)
	size, _ := strconv.Atoi(cmp.Or(r.URL.Query().Get("per_page"), "50"))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	to := min(len(history), from+size)
	page := map[string]any{"type": "list", "data": append([]any{}, history[min(from, to):to]...), "has_more": to < len(history)}
	if to < len(history) {
		page["next_cursor"] = strconv.Itoa(to)
	}
	write(w, page)
}

// companiesOf lists a contact's companies.
func (a *API) companiesOf(w http.ResponseWriter, id string) {
	o := a.find("contacts", id)
	if o == nil {
		refuse(w, http.StatusNotFound, "not_found", "Contact not found")
		return
	}
	found := []Object{}
	if of, ok := o["companies"].(map[string]any); ok {
		for _, one := range of["data"].([]any) {
			if company := a.find("companies", one.(map[string]any)["id"].(string)); company != nil {
				found = append(found, company)
			}
		}
	}
	write(w, map[string]any{"type": "list", "data": found, "pages": map[string]any{"type": "pages", "page": 1, "per_page": 50, "total_pages": 1}, "total_count": len(found)})
}

// scroll gives all companies, in one scroll at a time, which a minute's pause ends.
func (a *API) scroll(w http.ResponseWriter, param string) {
	open := a.scrollID != "" && a.now().Sub(a.scrolled) < scrollLasts
	switch {
	case param == "" && open:
		refuse(w, http.StatusBadRequest, "scroll_exists", "scroll already exists for this workspace")
		return
	case param == "":
		a.scrolls++
		a.scrollID, a.scrollAt = fmt.Sprintf("69352cd2-ab5b-42ac-b004-%012d", a.scrolls), 0
	case !open || param != a.scrollID:
		refuse(w, http.StatusNotFound, "not_found", "scroll parameter not found")
		return
	}
	a.scrolled = a.now()
	all := a.kinds["companies"]
	from := min(a.scrollAt, len(all))
	to := min(from+scrollPage, len(all))
	a.scrollAt = to
	page := map[string]any{"type": "list", "data": list(all[from:to:to]), "pages": nil, "total_count": nil, "scroll_param": a.scrollID}
	if from == to { // the parameter has expired; Intercom's SDK goes on while it gets one
		a.scrollID, page["scroll_param"] = "", nil
	}
	write(w, page)
}

// search finds objects by one or two levels of filters, sorts, and pages.
func (a *API) search(w http.ResponseWriter, r *http.Request, kind string) {
	var q struct {
		Query      condition
		Sort       struct{ Field, Order string }
		Pagination struct {
			PerPage       int    `json:"per_page"`
			StartingAfter string `json:"starting_after"`
		}
	}
	member, ok := map[string]string{"conversations": "conversations", "contacts": "data", "tickets": "tickets"}[kind]
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || !ok {
		refuse(w, http.StatusBadRequest, "parameter_invalid", "the query cannot be read")
		return
	}
	size := cmp.Or(q.Pagination.PerPage, 50)
	if size < 1 || size > mostPage {
		refuse(w, http.StatusBadRequest, "parameter_invalid", "per_page must be between 1 and 150")
		return
	}
	if kind == "contacts" && q.Query.refused() {
		refuse(w, http.StatusBadRequest, "invalid_operator", "this operator is not supported on Date fields")
		return
	}
	var after []any // the sorted field and the id of the page's last before: what is deleted moves nothing
	if text := q.Pagination.StartingAfter; text != "" {
		if decoded, err := base64.StdEncoding.DecodeString(text); err != nil || json.Unmarshal(decoded, &after) != nil || len(after) != 2 {
			refuse(w, http.StatusBadRequest, "parameter_invalid", "starting_after is invalid")
			return
		}
	}
	var found []Object
	for _, o := range a.kinds[kind] {
		if q.Query.fits(o, kind == "contacts", a.zone) {
			found = append(found, o)
		}
	}
	by, down := cmp.Or(q.Sort.Field, "updated_at"), q.Sort.Order != "ascending"
	order := func(field, id any, o Object) int {
		order := cmp.Or(compare(field, o[by]), compare(id, o["id"]))
		if down {
			return -order
		}
		return order
	}
	slices.SortStableFunc(found, func(x, y Object) int { return order(x[by], x["id"], y) })
	total := len(found)
	if after != nil {
		found = slices.DeleteFunc(found, func(o Object) bool { return order(after[0], after[1], o) >= 0 })
	}
	page := (total-len(found))/size + 1
	pages := map[string]any{"type": "pages", "page": page, "per_page": size, "total_pages": (total + size - 1) / size}
	if len(found) > size {
		found = found[:size]
		text, _ := json.Marshal([]any{found[size-1][by], found[size-1]["id"]})
		pages["next"] = map[string]any{"page": page + 1, "starting_after": base64.StdEncoding.EncodeToString(text)}
	}
	out := []Object{}
	for _, o := range found {
		o = maps.Clone(o)
		if r.URL.Query().Get("include_merge_history") != "true" {
			delete(o, "merge_history")
		}
		out = append(out, o)
	}
	kindOf := map[string]string{"conversations": "conversation.list", "contacts": "list", "tickets": "ticket.list"}[kind]
	write(w, map[string]any{"type": kindOf, member: out, "total_count": total, "pages": pages})
}

// condition is one filter, or several.
type condition struct {
	Field, Operator string
	Value           json.RawMessage
}

func (c condition) nested() []condition {
	var all []condition
	if c.Field == "" && json.Unmarshal(c.Value, &all) == nil {
		return all
	}
	return nil
}

// refused: dates of contacts take =, > and < alone.
func (c condition) refused() bool {
	if all := c.nested(); all != nil {
		return slices.ContainsFunc(all, condition.refused)
	}
	return strings.HasSuffix(c.Field, "_at") && !slices.Contains([]string{"=", ">", "<"}, c.Operator)
}

func (c condition) fits(o Object, byDay bool, zone *time.Location) bool {
	if c.Field == "" {
		for _, one := range c.nested() {
			switch fits := one.fits(o, byDay, zone); {
			case fits && c.Operator == "OR":
				return true
			case !fits && c.Operator == "AND":
				return false
			}
		}
		return c.Operator != "OR"
	}
	var value any
	if json.Unmarshal(c.Value, &value) != nil {
		return false
	}
	have := o[c.Field]
	if values, ok := value.([]any); ok && (c.Operator == "IN" || c.Operator == "NIN") {
		return slices.Contains(values, have) == (c.Operator == "IN")
	}
	if byDay && strings.HasSuffix(c.Field, "_at") {
		// The value is cut to its day: what is after it is on a later day.
		have, value = dayOf(have, zone), dayOf(value, zone)
	}
	order := compare(have, value)
	switch c.Operator {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case ">":
		return order > 0
	case "<":
		return order < 0
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	}
	return false
}

func dayOf(seconds any, zone *time.Location) any {
	t := time.Unix(int64(numberOf(seconds)), 0).In(zone)
	return float64(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone).Unix())
}

func numberOf(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	case string:
		f, _ := strconv.ParseFloat(v, 64)
		return f
	}
	return 0
}

// compare compares numbers as such, and texts.
func compare(a, b any) int {
	x, isText := a.(string)
	y, other := b.(string)
	if isText && other {
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)) // ids of digits
	}
	return cmp.Compare(numberOf(a), numberOf(b))
}

func write(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	text, _ := json.Marshal(body)
	w.Write(text)
}

// refuse answers with an error as Intercom does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	text, _ := json.Marshal(map[string]any{"type": "error.list", "request_id": "ca269b05-8c42-4615-a28d-7df0eb1687c5", "errors": []any{map[string]string{"code": code, "message": message}}})
	w.Write(text)
}
