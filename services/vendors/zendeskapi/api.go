// Package zendeskapi is a fake of the part of Zendesk's API that backfills, learning
// and connecting ask: incremental exports, show_many, lists and webhooks. On request it
// behaves as badly as Zendesk's does (API.Repeat, API.PerMinute, API.Clock, API.Forbid);
// other faults are those of package fakeapi.
//
// Facts: developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports,
// /ticketing/tickets/tickets (show_many), /introduction/pagination,
// /webhooks/webhooks-api/webhooks; what an export does with items of one second is what
// the guide "Using the Incremental Export API" says. node-zendesk and tap-zendesk read
// it (services/vendors/clients).
package zendeskapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API is a Zendesk account's API. It is safe for concurrent use; its exported fields
// are set before it is used.
type API struct {
	// Email and Token are of the one who may ask, with Basic authentication or, by
	// the Token alone, with Bearer.
	Email, Token string
	// MostPerPage bounds a page of an export, whatever is asked for; 0: 1,000.
	MostPerPage int
	// PerMinute is how many requests a minute the exports take; 0: any number.
	PerMinute int
	// Clock is how far the account's clock is off.
	Clock time.Duration
	// Repeat: a time-based export never says that it ends: its last page has the last
	// item again, and an end_time that stands still.
	Repeat bool

	handler http.Handler

	mu        sync.Mutex
	items     map[string][]Item // by list: tickets, users, organizations, ticket_events
	forbidden map[string]bool
	minute    time.Time
	asked     int
	deep      int
	webhooks  []*Webhook
}

// Item is an object of the account, with the members that Zendesk gives it: at least
// id, created_at and updated_at.
type Item map[string]any

// New makes the API of an account without anything.
func New(email, token string) *API {
	a := &API{Email: email, Token: token, items: map[string][]Item{}, forbidden: map[string]bool{}}
	mux := http.NewServeMux()
	for _, list := range []string{"tickets", "users", "organizations"} {
		for _, end := range []string{"", ".json"} {
			mux.HandleFunc("GET /api/v2/"+list+end, func(w http.ResponseWriter, r *http.Request) { a.list(w, r, list) })
			mux.HandleFunc("GET /api/v2/"+list+"/show_many"+end, func(w http.ResponseWriter, r *http.Request) { a.showMany(w, r, list) })
			mux.HandleFunc("GET /api/v2/incremental/"+list+"/cursor"+end, func(w http.ResponseWriter, r *http.Request) { a.byCursor(w, r, list) })
		}
	}
	for _, list := range []string{"tickets", "users", "organizations", "ticket_events"} {
		for _, end := range []string{"", ".json"} {
			mux.HandleFunc("GET /api/v2/incremental/"+list+end, func(w http.ResponseWriter, r *http.Request) { a.byTime(w, r, list) })
		}
	}
	a.webhookRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "InvalidEndpoint", "Not found")
	})
	a.handler = a.guard(mux)
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Add gives the account objects of a list.
func (a *API) Add(list string, items ...Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.items[list] = append(a.items[list], items...)
}

// Change changes an object, now unless it says when.
func (a *API) Change(list string, id int64, members Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, item := range a.items[list] {
		if item.id() == id {
			item["updated_at"] = stamp(a.now())
			maps.Copy(item, members)
		}
	}
}

// Forbid lets requests of this list be answered with 403, as on a plan without it.
func (a *API) Forbid(list string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forbidden[list] = true
}

// SetToken changes the token: the one before has expired.
func (a *API) SetToken(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Token = token
}

func (a *API) now() time.Time { return time.Now().Add(a.Clock) }

// guard looks at the key, the plan and the rate.
func (a *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Date", a.now().UTC().Format(http.TimeFormat))
		user, password, basic := r.BasicAuth()
		bearer, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case basic && (user != a.Email+"/token" || password != a.Token), isBearer && bearer != a.Token, !basic && !isBearer:
			refuse(w, http.StatusUnauthorized, "Couldn't authenticate you", "")
			return
		}
		for list := range a.forbidden {
			if strings.Contains(r.URL.Path, "/"+list) {
				refuse(w, http.StatusForbidden, "Forbidden", "You do not have access to this page.")
				return
			}
		}
		if strings.HasPrefix(r.URL.Path, "/api/v2/incremental/") && a.PerMinute > 0 && !a.turn(w) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// turn counts the requests of a minute.
func (a *API) turn(w http.ResponseWriter) bool {
	now := time.Now()
	if now.Sub(a.minute) >= time.Minute {
		a.minute, a.asked = now, 0
	}
	if a.asked++; a.asked <= a.PerMinute {
		return true
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(time.Until(a.minute.Add(time.Minute)).Seconds())+1))
	refuse(w, http.StatusTooManyRequests, "APIRateLimitExceeded", "Number of allowed incremental ticket export API requests per minute exceeded")
	return false
}

// sorted gives the items that were changed from a time on, in the order of their
// change, without those of the last minute.
func (a *API) sorted(list string, from int64, afterID int64) []Item {
	until := a.now().Add(-time.Minute).Unix()
	var found []Item
	for _, item := range a.items[list] {
		at := item.changed()
		if at <= until && (at > from || at == from && item.id() > afterID) {
			found = append(found, item)
		}
	}
	slices.SortStableFunc(found, func(x, y Item) int {
		if d := x.changed() - y.changed(); d != 0 {
			return int(d)
		}
		return int(x.id() - y.id())
	})
	return found
}

// startTime reads start_time, as seconds or as a time, as Zendesk does.
func (a *API) startTime(w http.ResponseWriter, q url.Values) (int64, bool) {
	text := q.Get("start_time")
	start, err := strconv.ParseInt(text, 10, 64)
	if at, timeErr := time.Parse(time.RFC3339, text); err != nil && timeErr == nil {
		start, err = at.Unix(), nil
	}
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "InvalidValue", "start_time is needed")
		return 0, false
	case start > a.now().Add(-time.Minute).Unix():
		refuse(w, http.StatusUnprocessableEntity, "InvalidValue", "Too recent start_time. Use a start_time older than 60 seconds")
		return 0, false
	}
	return start, true
}

func (a *API) perPage(w http.ResponseWriter, q url.Values) (int, bool) {
	most := 1000
	if text := q.Get("per_page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			refuse(w, http.StatusBadRequest, "InvalidValue", "per_page must be between 1 and 1000")
			return 0, false
		}
		most = n
	}
	if a.MostPerPage > 0 {
		most = min(most, a.MostPerPage)
	}
	return most, true
}

// byCursor is a cursor-based export: no item comes twice that was not changed meanwhile.
func (a *API) byCursor(w http.ResponseWriter, r *http.Request, list string) {
	q := r.URL.Query()
	most, ok := a.perPage(w, q)
	if !ok {
		return
	}
	var from, after int64 = 0, -1
	if cursor := q.Get("cursor"); cursor != "" {
		text, err := base64.StdEncoding.DecodeString(cursor)
		if _, scanErr := fmt.Sscanf(string(text), "%d.0||%d|", &from, &after); err != nil || scanErr != nil {
			refuse(w, http.StatusBadRequest, "InvalidValue", "cursor is not valid")
			return
		}
	} else if from, ok = a.startTime(w, q); !ok {
		return
	}
	found := a.sorted(list, from, after)
	end := len(found) <= most
	if !end {
		found = found[:most]
	}
	if len(found) > 0 {
		from, after = found[len(found)-1].changed(), found[len(found)-1].id()
	}
	cursor := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d.0||%d|", from, after))
	reply(w, map[string]any{
		list: nonNil(found), "after_cursor": cursor, "before_cursor": nil, "before_url": nil, "end_of_stream": end,
		"after_url": "http://" + r.Host + r.URL.Path + "?cursor=" + url.QueryEscape(cursor),
	})
}

// byTime is a time-based export: all items of its last second, which come again on
// the next page.
func (a *API) byTime(w http.ResponseWriter, r *http.Request, list string) {
	q := r.URL.Query()
	most, ok := a.perPage(w, q)
	if !ok {
		return
	}
	from, ok := a.startTime(w, q)
	if !ok {
		return
	}
	found := a.sorted(list, from, -1)
	n := min(most, len(found))
	for n > 0 && n < len(found) && found[n].changed() == found[n-1].changed() {
		n++
	}
	end := n == len(found) && !a.Repeat
	answer := map[string]any{list: nonNil(withoutComments(found[:n], list, q)), "count": n, "end_of_stream": end, "end_time": nil, "next_page": nil}
	if n > 0 {
		last := found[n-1].changed()
		answer["end_time"] = last
		next := r.URL.Query()
		next.Set("start_time", strconv.FormatInt(last, 10))
		answer["next_page"] = "http://" + r.Host + r.URL.Path + "?" + next.Encode()
	}
	reply(w, answer)
}

// withoutComments: an audit has its comment only where it is asked for.
func withoutComments(found []Item, list string, q url.Values) []Item {
	if list != "ticket_events" || slices.Contains(strings.Split(q.Get("include"), ","), "comment_events") {
		return found
	}
	bare := make([]Item, len(found))
	for i, item := range found {
		bare[i] = maps.Clone(item)
		children, _ := item["child_events"].([]Item)
		var kept []Item
		for _, child := range children {
			if child["event_type"] == "Comment" {
				child = Item{"id": child["id"], "comment_present": true, "comment_public": child["public"], "event_type": "Comment"}
			}
			kept = append(kept, child)
		}
		bare[i]["child_events"] = kept
	}
	return bare
}

// showMany gives those of the ids that there are.
func (a *API) showMany(w http.ResponseWriter, r *http.Request, list string) {
	ids := strings.Split(r.URL.Query().Get("ids"), ",")
	if len(ids) > 100 {
		refuse(w, http.StatusBadRequest, "TooManyIds", "Too many ids: the most is 100")
		return
	}
	var found []Item
	for _, item := range a.items[list] {
		if slices.Contains(ids, strconv.FormatInt(item.id(), 10)) && item["status"] != "deleted" {
			found = append(found, item)
		}
	}
	reply(w, map[string]any{list: nonNil(found), "count": len(found), "next_page": nil, "previous_page": nil})
}

// list gives all of a kind: by offset (page=), of which pages beyond the thousandth
// may be asked for ten times a minute, or by cursor (page[size]=).
func (a *API) list(w http.ResponseWriter, r *http.Request, list string) {
	q := r.URL.Query()
	all := slices.DeleteFunc(slices.Clone(a.items[list]), func(item Item) bool { return item["status"] == "deleted" })
	at := func(scheme string) string { return "http://" + r.Host + r.URL.Path + "?" + scheme }
	if size, err := strconv.Atoi(q.Get("page[size]")); err == nil {
		size = min(max(size, 1), 100)
		from, _ := strconv.Atoi(q.Get("page[after]"))
		to := min(from+size, len(all))
		var next any // null at the end: node-zendesk looks at nothing else
		if to < len(all) {
			next = at(fmt.Sprintf("page[size]=%d&page[after]=%d", size, to))
		}
		reply(w, map[string]any{list: nonNil(all[min(from, to):to]), "meta": map[string]any{"has_more": to < len(all), "after_cursor": strconv.Itoa(to), "before_cursor": strconv.Itoa(from)},
			"links": map[string]any{"next": next, "prev": nil}})
		return
	}
	page, _ := strconv.Atoi(q.Get("page"))
	page = max(page, 1)
	const deepest, deepRate = 1000, 10
	if page > deepest {
		if a.deep++; a.deep > deepRate {
			w.Header().Set("Retry-After", "60")
			refuse(w, http.StatusTooManyRequests, "APIRateLimitExceeded", "Number of allowed API requests per minute exceeded for this page")
			return
		}
	}
	per, err := strconv.Atoi(q.Get("per_page"))
	if err != nil || per < 1 || per > 100 {
		per = 100
	}
	from, to := min((page-1)*per, len(all)), min(page*per, len(all))
	var next any
	if to < len(all) {
		next = at(fmt.Sprintf("page=%d&per_page=%d", page+1, per))
	}
	reply(w, map[string]any{list: nonNil(all[from:to]), "count": len(all), "next_page": next, "previous_page": nil})
}

func nonNil(items []Item) []Item {
	if items == nil {
		return []Item{}
	}
	return items
}

func (i Item) id() int64 {
	switch id := i["id"].(type) {
	case int64:
		return id
	case int:
		return int64(id)
	}
	return 0
}

// changed is when the exports see an item.
func (i Item) changed() int64 {
	for _, member := range []string{"updated_at", "created_at"} {
		text, _ := i[member].(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at.Unix()
		}
	}
	return 0
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func reply(w http.ResponseWriter, answer any) {
	text, _ := json.Marshal(answer)
	_, _ = w.Write(text)
}

func refuse(w http.ResponseWriter, status int, word, description string) {
	w.WriteHeader(status)
	reply(w, map[string]string{"error": word, "description": description})
}
