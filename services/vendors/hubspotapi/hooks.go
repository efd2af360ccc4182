package hubspotapi

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// hooks is an app's webhook settings and subscriptions.
type hooks struct {
	settings      map[string]any // nil: none
	subscriptions []map[string]any
	made          int
}

var hookPath = regexp.MustCompile(`^/webhooks/(?:v3|\d{4}-\d{2})/(\d+)/(settings|subscriptions)(?:/(\d+))?$`)

// serveHooks serves GET, PUT and DELETE of settings and GET, POST, PATCH and DELETE of
// subscriptions.
func (a *API) serveHooks(w http.ResponseWriter, r *http.Request) bool {
	m := hookPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return false
	}
	var body map[string]any
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if err := readBody(r, &body); err != nil {
			refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON")
			return true
		}
	}
	if m[2] == "settings" {
		a.hookSettings(w, r.Method, body)
	} else {
		a.subscriptions(w, r.Method, m[3], body)
	}
	return true
}

func (a *API) hookSettings(w http.ResponseWriter, method string, body map[string]any) {
	now := stamp(time.Now())
	switch {
	case method == http.MethodPut:
		if a.hooks.settings == nil {
			a.hooks.settings = map[string]any{"createdAt": now}
		}
		for name, value := range body {
			a.hooks.settings[name] = value
		}
		a.hooks.settings["updatedAt"] = now
		write(w, http.StatusOK, a.hooks.settings)
	case a.hooks.settings == nil:
		refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "No settings")
	case method == http.MethodDelete:
		a.hooks.settings = nil
		w.WriteHeader(http.StatusNoContent)
	default:
		write(w, http.StatusOK, a.hooks.settings)
	}
}

func (a *API) subscriptions(w http.ResponseWriter, method, id string, body map[string]any) {
	now := stamp(time.Now())
	at := slices.IndexFunc(a.hooks.subscriptions, func(s map[string]any) bool { return s["id"] == id })
	switch {
	case method == http.MethodGet && id == "":
		list := []any{}
		for _, s := range a.hooks.subscriptions {
			list = append(list, s)
		}
		write(w, http.StatusOK, map[string]any{"results": list})
	case method == http.MethodPost && id == "":
		if a.hooks.settings == nil || body["eventType"] == nil {
			refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "a subscription needs settings and an eventType")
			return
		}
		a.hooks.made++
		body["id"], body["createdAt"] = strconv.Itoa(a.hooks.made), now
		if body["active"] == nil {
			body["active"] = false
		}
		a.hooks.subscriptions = append(a.hooks.subscriptions, body)
		write(w, http.StatusCreated, body)
	case at < 0:
		refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "No such subscription")
	case method == http.MethodPatch:
		a.hooks.subscriptions[at]["active"], a.hooks.subscriptions[at]["updatedAt"] = body["active"], now
		write(w, http.StatusOK, a.hooks.subscriptions[at])
	case method == http.MethodDelete:
		a.hooks.subscriptions = slices.Delete(a.hooks.subscriptions, at, at+1)
		w.WriteHeader(http.StatusNoContent)
	default:
		write(w, http.StatusOK, a.hooks.subscriptions[at])
	}
}
