package stripeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Endpoint is a webhook endpoint as docs.stripe.com/api/webhook_endpoints/object has it.
type Endpoint struct {
	ID            string   `json:"id"`
	Object        string   `json:"object"`
	APIVersion    *string  `json:"api_version"`
	Application   *string  `json:"application"` // of one for connected accounts
	Created       int64    `json:"created"`
	Description   *string  `json:"description"`
	EnabledEvents []string `json:"enabled_events"`
	Livemode      bool     `json:"livemode"`
	Secret        string   `json:"secret,omitempty"` // in the answer to its creation only
	Status        string   `json:"status"`
	URL           string   `json:"url"`
}

const endpointsPath = "/v1/webhook_endpoints"

// AddEndpoint adds an endpoint that somebody made before. What it leaves out is as
// Stripe makes it: enabled, for all types.
func (a *API) AddEndpoint(e Endpoint) Endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addEndpoint(e)
}

func (a *API) addEndpoint(e Endpoint) Endpoint {
	a.endpointsMade++
	e.Object, e.Created, e.Livemode = "webhook_endpoint", time.Now().Unix(), !strings.Contains(a.key, "_test_")
	if e.ID == "" {
		e.ID = fmt.Sprintf("we_%04d", a.endpointsMade)
	}
	if e.Status == "" {
		e.Status = "enabled"
	}
	if e.EnabledEvents == nil {
		e.EnabledEvents = []string{"*"}
	}
	a.endpoints = slices.Insert(a.endpoints, 0, e) // the newest first
	return e
}

// Endpoints gives all endpoints, the newest first, with no secret.
func (a *API) Endpoints() []Endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.endpoints)
}

// Disable switches an endpoint off, as Stripe does when its deliveries have failed for days.
func (a *API) Disable(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endpoints[a.findEndpoint(id)].Status = "disabled"
}

// Deny takes from the key the right to requests of this method whose path begins so,
// as a restricted key's permissions do.
func (a *API) Deny(method, path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied = append(a.denied, method+" "+path)
}

func (a *API) mayNot(r *http.Request) bool {
	return slices.ContainsFunc(a.denied, func(denied string) bool { return strings.HasPrefix(r.Method+" "+r.URL.Path, denied) })
}

func (a *API) findEndpoint(id string) int {
	return slices.IndexFunc(a.endpoints, func(e Endpoint) bool { return e.ID == id })
}

// serveEndpoints answers requests below /v1/webhook_endpoints.
func (a *API) serveEndpoints(w http.ResponseWriter, r *http.Request) {
	id, one := strings.CutPrefix(r.URL.Path, endpointsPath+"/")
	at := a.findEndpoint(id)
	switch {
	case one && at < 0:
		refuse(w, http.StatusNotFound, "resource_missing", "webhook_endpoint", "No such webhook endpoint: '"+id+"'")
	case one && r.Method == http.MethodGet:
		answer(w, a.endpoints[at])
	case one && r.Method == http.MethodDelete:
		a.endpoints = slices.Delete(a.endpoints, at, at+1)
		answer(w, map[string]any{"id": id, "object": "webhook_endpoint", "deleted": true})
	case one && r.Method == http.MethodPost:
		a.updateEndpoint(w, r, at)
	case r.Method == http.MethodGet:
		a.listEndpoints(w, r.URL.Query())
	case r.Method == http.MethodPost:
		a.createEndpoint(w, r)
	default:
		refuse(w, http.StatusMethodNotAllowed, "", "", "Method not allowed")
	}
}

func (a *API) listEndpoints(w http.ResponseWriter, q url.Values) {
	limit, from := 10, 0
	if n, err := strconv.Atoi(q.Get("limit")); err == nil {
		limit = min(max(n, 1), 100)
	}
	if after := q.Get("starting_after"); after != "" {
		at := a.findEndpoint(after)
		if at < 0 {
			refuse(w, http.StatusBadRequest, "resource_missing", "starting_after", "No such webhook endpoint: '"+after+"'")
			return
		}
		from = at + 1
	}
	to := min(from+limit, len(a.endpoints))
	a.last, _ = json.Marshal(map[string]any{"object": "list", "url": endpointsPath, "has_more": to < len(a.endpoints), "data": append([]Endpoint{}, a.endpoints[from:to]...)})
	w.Header().Set("Content-Type", "application/json")
	w.Write(a.last)
}

func (a *API) createEndpoint(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || r.PostForm.Get("url") == "" {
		refuse(w, http.StatusBadRequest, "parameter_missing", "url", "Missing required param: url.")
		return
	}
	types := list(r.PostForm, "enabled_events")
	if len(types) == 0 {
		refuse(w, http.StatusBadRequest, "parameter_missing", "enabled_events", "Missing required param: enabled_events.")
		return
	}
	if !a.takes(w, r.PostForm, types) {
		return
	}
	e := Endpoint{URL: r.PostForm.Get("url"), EnabledEvents: types}
	for param, into := range map[string]**string{"api_version": &e.APIVersion, "description": &e.Description} {
		if text := r.PostForm.Get(param); text != "" {
			*into = &text
		}
	}
	if r.PostForm.Get("connect") == "true" {
		application := "ca_000000000000000000000000"
		e.Application = &application
	}
	e = a.addEndpoint(e)
	e.Secret = fmt.Sprintf("whsec_%032d", a.endpointsMade)
	answer(w, e)
}

func (a *API) updateEndpoint(w http.ResponseWriter, r *http.Request, at int) {
	if r.ParseForm() != nil {
		refuse(w, http.StatusBadRequest, "", "", "Invalid body")
		return
	}
	types := list(r.PostForm, "enabled_events")
	switch {
	case r.PostForm.Has("api_version"):
		refuse(w, http.StatusBadRequest, "parameter_unknown", "api_version", "Received unknown parameter: api_version")
		return
	case !a.takes(w, r.PostForm, types):
		return
	}
	e := &a.endpoints[at]
	if len(types) > 0 {
		e.EnabledEvents = types
	}
	if to := r.PostForm.Get("url"); to != "" {
		e.URL = to
	}
	switch r.PostForm.Get("disabled") {
	case "true":
		e.Status = "disabled"
	case "false":
		e.Status = "enabled"
	}
	answer(w, *e)
}

// takes refuses what Stripe refuses: an address that is not HTTPS in live mode, and an
// unknown type (here: one without a dot).
func (a *API) takes(w http.ResponseWriter, form url.Values, types []string) bool {
	if to := form.Get("url"); to != "" && !strings.HasPrefix(to, "https://") {
		refuse(w, http.StatusBadRequest, "url_invalid", "url", "Invalid URL: URLs must begin with https")
		return false
	}
	for _, t := range types {
		if t != "*" && !strings.Contains(t, ".") {
			refuse(w, http.StatusBadRequest, "", "enabled_events", "The event type "+t+" is not one")
			return false
		}
	}
	return true
}

// list gives a parameter's values: name[]=…, or numbered as stripe-go does.
func list(form url.Values, name string) (values []string) {
	if values = form[name+"[]"]; len(values) > 0 {
		return values
	}
	for n := 0; form.Has(fmt.Sprintf("%s[%d]", name, n)); n++ {
		values = append(values, form.Get(fmt.Sprintf("%s[%d]", name, n)))
	}
	return values
}

func answer(w http.ResponseWriter, body any) {
	text, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}
