package zendeskapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Webhook is one of the account's, with its deliveries.
type Webhook struct {
	ID, Name, Endpoint, Status, Secret string
	Subscriptions                      []string
	Invocations                        []Invocation
}

// Invocation is one event that Zendesk has sent, or tried to.
type Invocation struct {
	Status     string // "success", "failed", "circuitbroken"
	StatusCode int
	EventType  string
	At         time.Time
}

// AddWebhook gives the account a webhook.
func (a *API) AddWebhook(w Webhook) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.webhooks = append(a.webhooks, &w)
}

// Webhooks gives the account's webhooks.
func (a *API) Webhooks() (all []Webhook) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.webhooks {
		all = append(all, *w)
	}
	return all
}

func (a *API) webhookRoutes(mux *http.ServeMux) {
	one := func(then func(http.ResponseWriter, *http.Request, *Webhook)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			at := slices.IndexFunc(a.webhooks, func(h *Webhook) bool { return h.ID == r.PathValue("id") })
			if at < 0 {
				refuse(w, http.StatusNotFound, "RecordNotFound", "Not found")
				return
			}
			then(w, r, a.webhooks[at])
		}
	}
	mux.HandleFunc("GET /api/v2/webhooks", a.listWebhooks)
	mux.HandleFunc("POST /api/v2/webhooks", a.createWebhook)
	mux.HandleFunc("GET /api/v2/webhooks/{id}", one(func(w http.ResponseWriter, _ *http.Request, h *Webhook) {
		reply(w, map[string]any{"webhook": h.json()})
	}))
	mux.HandleFunc("PATCH /api/v2/webhooks/{id}", one(a.patchWebhook))
	mux.HandleFunc("GET /api/v2/webhooks/{id}/signing_secret", one(func(w http.ResponseWriter, _ *http.Request, h *Webhook) {
		reply(w, map[string]any{"signing_secret": map[string]string{"algorithm": "SHA256", "secret": h.Secret}})
	}))
	mux.HandleFunc("GET /api/v2/webhooks/{id}/invocations", one(invocations))
}

func (h *Webhook) json() Item {
	return Item{"id": h.ID, "name": h.Name, "endpoint": h.Endpoint, "status": h.Status, "http_method": "POST", "request_format": "json",
		"subscriptions": h.Subscriptions, "created_at": "2026-01-01T00:00:00Z", "created_by": "1"}
}

func (a *API) listWebhooks(w http.ResponseWriter, r *http.Request) {
	const size = 2 // few, so that somebody pages
	from, _ := fmt.Sscan(r.URL.Query().Get("page[after]"), new(int))
	if from == 1 {
		_, _ = fmt.Sscan(r.URL.Query().Get("page[after]"), &from)
	}
	to := min(from+size, len(a.webhooks))
	found := []Item{}
	for _, h := range a.webhooks[min(from, to):to] {
		found = append(found, h.json())
	}
	reply(w, map[string]any{"webhooks": found, "meta": map[string]any{"has_more": to < len(a.webhooks), "after_cursor": fmt.Sprint(to)}, "links": map[string]any{"next": nil, "prev": nil}})
}

func (a *API) createWebhook(w http.ResponseWriter, r *http.Request) {
	given, ok := readWebhook(w, r)
	if !ok {
		return
	}
	for _, needed := range []string{"name", "endpoint", "http_method", "request_format", "status"} {
		if given[needed] == nil {
			refuse(w, http.StatusBadRequest, "InvalidWebhook", needed+" is needed")
			return
		}
	}
	h := &Webhook{ID: fmt.Sprintf("01FAKE%020d", len(a.webhooks)), Secret: fmt.Sprintf("c2VjcmV0LW9mLXdlYmhvb2st%08d", len(a.webhooks))}
	h.take(given)
	a.webhooks = append(a.webhooks, h)
	w.WriteHeader(http.StatusCreated)
	reply(w, map[string]any{"webhook": h.json()})
}

func (*API) patchWebhook(w http.ResponseWriter, r *http.Request, h *Webhook) {
	given, ok := readWebhook(w, r)
	if !ok {
		return
	}
	h.take(given)
	w.WriteHeader(http.StatusNoContent)
}

func readWebhook(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	var body struct{ Webhook map[string]any }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Webhook == nil {
		refuse(w, http.StatusBadRequest, "InvalidWebhook", "no webhook")
		return nil, false
	}
	return body.Webhook, true
}

func (h *Webhook) take(given map[string]any) {
	for name, field := range map[string]*string{"name": &h.Name, "endpoint": &h.Endpoint, "status": &h.Status} {
		if text, ok := given[name].(string); ok {
			*field = text
		}
	}
	if list, ok := given["subscriptions"].([]any); ok {
		h.Subscriptions = nil
		for _, s := range list {
			h.Subscriptions = append(h.Subscriptions, fmt.Sprint(s))
		}
	}
}

// invocations gives the newest first, of the last seven days.
func invocations(w http.ResponseWriter, _ *http.Request, h *Webhook) {
	found := []Item{}
	for i, v := range slices.Backward(h.Invocations) {
		found = append(found, maps.Clone(Item{"id": fmt.Sprintf("inv%d", i), "status": v.Status, "status_code": v.StatusCode,
			"event_type": v.EventType, "latest_completed_at": stamp(v.At)}))
	}
	reply(w, map[string]any{"invocations": found, "meta": map[string]any{"has_more": false}, "links": map[string]any{}})
}
