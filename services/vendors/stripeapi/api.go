// Package stripeapi is a fake of Stripe's APIs of events and of webhook endpoints, for
// tests and for trying a backfill: it lists the events that it is given as Stripe does,
// and on request limits, fails, repeats itself and lies (Fault). stripe-go reads and
// changes it in the tests, and tap-stripe reads it (make vendor-clients).
//
// Facts: docs.stripe.com/api/events/list, /api/webhook_endpoints, /api/pagination,
// /api/errors; the order
// within a second, newest first and stable, is what it does. Its keys begin with rk_.
package stripeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API serves GET /v1/events and /v1/events/{id}, and /v1/webhook_endpoints. It is safe for concurrent use.
type API struct {
	mu       sync.Mutex
	key      string
	events   []event // the newest first
	faults   []injected
	requests []url.Values
	last     []byte // the page served last
	keeps    time.Duration

	endpoints     []Endpoint // the newest first
	endpointsMade int
	denied        []string // "METHOD /path" that the key has no right to
}

type event struct {
	id, typ string
	created int64
	body    []byte
	pending bool // a webhook endpoint has not taken it
}

// New makes an API that takes this key and holds no events.
func New(key string) *API { return &API{key: key, keeps: 30 * 24 * time.Hour} }

// Add gives it an event's body, as a webhook would bring it.
func (a *API) Add(bodies ...[]byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, body := range bodies {
		var read struct {
			ID, Type string
			Created  int64
			Pending  int `json:"pending_webhooks"`
		}
		if err := json.Unmarshal(body, &read); err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		e := event{read.ID, read.Type, read.Created, body, read.Pending > 0}
		// Behind all that are newer; before those of the same second: they came earlier.
		at, _ := slices.BinarySearchFunc(a.events, e, func(have, e event) int {
			if have.created > e.created {
				return -1
			}
			return 1
		})
		a.events = slices.Insert(a.events, at, e)
	}
	return nil
}

// SetKey changes the key: the one before has expired.
func (a *API) SetKey(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.key = key
}

// Forget takes away the events of before this time, as Stripe does after 30 days.
func (a *API) Forget(before time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = slices.DeleteFunc(a.events, func(e event) bool { return e.created < before.Unix() })
}

// Requests gives the queries of all requests so far.
func (a *API) Requests() []url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.requests = append(a.requests, r.URL.Query())
	fault := a.next(len(a.requests))
	a.mu.Unlock()
	if fault != nil {
		fault(a, w, r)
		return
	}
	a.serve(w, r)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, one := strings.CutPrefix(r.URL.Path, "/v1/events/")
	switch {
	case key == "":
		refuse(w, http.StatusUnauthorized, "", "", "You did not provide an API key.")
	case key != a.key:
		refuse(w, http.StatusUnauthorized, "api_key_expired", "", "Expired API Key provided: rk_***")
	case a.mayNot(r):
		refuse(w, http.StatusForbidden, "", "", "The provided key 'rk_***' does not have the required permissions for this endpoint.")
	case r.URL.Path == endpointsPath, strings.HasPrefix(r.URL.Path, endpointsPath+"/"):
		a.serveEndpoints(w, r)
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "", "", "Method not allowed")
	case one:
		a.retrieve(w, id)
	case r.URL.Path == "/v1/events":
		a.list(w, r.URL.Query())
	default:
		refuse(w, http.StatusNotFound, "", "", "Unrecognized request URL (GET: "+r.URL.Path+").")
	}
}

func (a *API) retrieve(w http.ResponseWriter, id string) {
	at := a.find(id)
	if at < 0 {
		refuse(w, http.StatusNotFound, "resource_missing", "id", "No such event: '"+id+"'")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(a.events[at].body)
}

// list walks from the newest to the oldest, or with ending_before the other way; its
// pages begin with the newest either way.
func (a *API) list(w http.ResponseWriter, q url.Values) {
	limit := 10
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			refuse(w, http.StatusBadRequest, "parameter_invalid_integer", "limit", "Invalid integer")
			return
		}
		limit = n
	}
	types := slices.Concat(q["types[]"], q["type"])
	for name, values := range q {
		if strings.HasPrefix(name, "types[") && name != "types[]" { // stripe-go numbers them
			types = append(types, values...)
		}
	}
	if len(types) > 20 {
		refuse(w, http.StatusBadRequest, "", "types", "You may pass at most 20 types.")
		return
	}
	after, before := q.Get("starting_after"), q.Get("ending_before")
	from, to := 0, len(a.events)
	for param, id := range map[string]string{"starting_after": after, "ending_before": before} {
		if id != "" && a.find(id) < 0 {
			refuse(w, http.StatusBadRequest, "resource_missing", param, "No such event: '"+id+"'")
			return
		}
	}
	if after != "" {
		from = a.find(after) + 1
	}
	if before != "" {
		to = a.find(before)
	}
	var found []event
	for _, e := range a.events[min(from, to):to] {
		delivered := q.Get("delivery_success")
		if e.created >= a.oldest() && within(e.created, q) && (len(types) == 0 || slices.Contains(types, e.typ)) && (delivered == "" || delivered == strconv.FormatBool(!e.pending)) {
			found = append(found, e)
		}
	}
	more := len(found) > limit
	switch {
	case more && before != "":
		found = found[len(found)-limit:]
	case more:
		found = found[:limit]
	}
	a.last = page(found, more)
	w.Header().Set("Content-Type", "application/json")
	w.Write(a.last)
}

// oldest is when the API's memory begins.
func (a *API) oldest() int64 { return time.Now().Add(-a.keeps).Unix() }

func (a *API) find(id string) int {
	return slices.IndexFunc(a.events, func(e event) bool { return e.id == id })
}

func within(created int64, q url.Values) bool {
	for name, fits := range map[string]func(bound int64) bool{
		"created":      func(bound int64) bool { return created == bound },
		"created[gt]":  func(bound int64) bool { return created > bound },
		"created[gte]": func(bound int64) bool { return created >= bound },
		"created[lt]":  func(bound int64) bool { return created < bound },
		"created[lte]": func(bound int64) bool { return created <= bound },
	} {
		if bound, err := strconv.ParseInt(q.Get(name), 10, 64); err == nil && !fits(bound) {
			return false
		}
	}
	return true
}

func page(events []event, more bool) []byte {
	bodies := make([]string, len(events))
	for i, e := range events {
		bodies[i] = string(e.body)
	}
	return fmt.Appendf(nil, `{"object":"list","url":"/v1/events","has_more":%t,"data":[%s]}`, more, strings.Join(bodies, ","))
}

// refuse answers with an error as Stripe does.
func refuse(w http.ResponseWriter, status int, code, param, message string) {
	kind := "invalid_request_error"
	if status >= http.StatusInternalServerError {
		kind = "api_error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]string{"type": kind, "message": message}
	for name, value := range map[string]string{"code": code, "param": param} {
		if value != "" {
			body[name] = value
		}
	}
	text, _ := json.Marshal(map[string]any{"error": body})
	w.Write(text)
}
