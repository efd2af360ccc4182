// Package hubspotapi is a fake of HubSpot's API, for tests and for trying a backfill:
// search, lists, batches and associations of the CRM, the webhooks journal, tokens, and
// an app's webhook subscriptions. By package fakeapi it also limits, fails and lies.
// HubSpot's own SDK and a Singer tap read it (services/vendors/clients).
//
// Facts: developers.hubspot.com, "Search the CRM", "Objects", "Associations",
// "Webhook journal APIs", "Webhooks", and the models of @hubspot/api-client 13.5.0. It
// answers under numbered paths (v3, v4) and dated ones (2026-03) alike.
package hubspotapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API serves what it is given. It is safe for concurrent use.
type API struct {
	mu      sync.Mutex
	token   string
	portal  int64
	objects map[string][]*Object // by type: "contacts"; by id
	// Lag is how long the search's index is behind.
	lag     time.Duration
	journal Journal
	hooks   hooks
	client  string // CLIENT_ID:CLIENT_SECRET
	issued  int
}

// Object is one of the CRM.
type Object struct {
	ID                         int64
	Properties                 map[string]string
	Created, Updated, Archived time.Time // Archived: zero where it is not
	// History has the values that properties had, the newest first.
	History map[string][]Version
	// To are the associations, by the type of the other side: "companies".
	To map[string][]Association
}

// Version is a value that a property had from a time on.
type Version struct {
	Value      string    `json:"value"`
	Timestamp  time.Time `json:"timestamp"`
	SourceType string    `json:"sourceType"`
	SourceID   string    `json:"sourceId,omitempty"`
}

// Association is one side's view of an association. Type is 1 for a contact's primary
// company, 5 for a deal's, 26 for a ticket's.
type Association struct {
	To    int64
	Type  int
	Label string
}

// New makes an API of a portal without objects. It takes this access token, and gives
// one for client, which is CLIENT_ID:CLIENT_SECRET.
func New(token, client string, portal int64) *API {
	return &API{token: token, client: client, portal: portal, objects: map[string][]*Object{}}
}

// Put adds an object of a type ("contacts"), or replaces the one that has its id.
func (a *API) Put(kind string, o Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.objects[kind]
	at, have := slices.BinarySearchFunc(list, o.ID, func(have *Object, id int64) int { return cmp.Compare(have.ID, id) })
	if have {
		list[at] = &o
		return
	}
	a.objects[kind] = slices.Insert(list, at, &o)
}

// Delete forgets an object for good.
func (a *API) Delete(kind string, id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[kind] = slices.DeleteFunc(a.objects[kind], func(o *Object) bool { return o.ID == id })
}

// SetLag lets the search see nothing that was changed in this last time.
func (a *API) SetLag(lag time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lag = lag
}

// SetToken changes the token: the one before has expired.
func (a *API) SetToken(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = token
}

// paths of the CRM, with and without a date.
var (
	objectPath      = regexp.MustCompile(`^/crm/(?:v[34]/objects|objects/\d{4}-\d{2})/([a-z_]+)(/search|/batch/read|/\d+)?$`)
	associationPath = regexp.MustCompile(`^/crm/(?:(v[34])/associations|associations/\d{4}-\d{2})/([a-z]+)/([a-z]+)/batch/read$`)
	detailsPath     = regexp.MustCompile(`^/account-info/(?:v3|\d{4}-\d{2})/details$`)
	tokenPath       = regexp.MustCompile(`^/oauth/(?:v1|\d{4}-\d{2})/token$`)
	propertyPath    = regexp.MustCompile(`^/crm/v3/properties/([a-z]+)$`)
)

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case tokenPath.MatchString(r.URL.Path):
		a.giveToken(w, r)
		return
	case strings.HasPrefix(r.URL.Path, filePath):
		a.serveFile(w, r)
		return
	}
	if key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); key != a.token && r.URL.Query().Get("hapikey") != a.token {
		refuse(w, http.StatusUnauthorized, "INVALID_AUTHENTICATION", "Authentication credentials not found or expired.")
		return
	}
	if m := objectPath.FindStringSubmatch(r.URL.Path); m != nil {
		a.serveObjects(w, r, m[1], m[2])
	} else if m := associationPath.FindStringSubmatch(r.URL.Path); m != nil {
		a.serveAssociations(w, r, m[1] == "v3", plural(m[2]), plural(m[3]))
	} else if m := propertyPath.FindStringSubmatch(r.URL.Path); m != nil {
		a.serveProperties(w, m[1])
	} else if r.URL.Path == "/crm/v3/schemas" { // of custom objects
		write(w, http.StatusOK, map[string]any{"results": []any{}})
	} else if detailsPath.MatchString(r.URL.Path) {
		write(w, http.StatusOK, map[string]any{"portalId": a.portal, "accountType": "STANDARD", "timeZone": "US/Eastern", "companyCurrency": "USD", "utcOffset": "-05:00"})
	} else if !a.serveJournal(w, r) && !a.serveHooks(w, r) {
		refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "No such path")
	}
}

// giveToken exchanges the client's id and secret; the token before ends.
func (a *API) giveToken(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("client_id")+":"+r.Form.Get("client_secret") != a.client {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":"BAD_CLIENT_ID","error":"invalid_client","message":"missing or unknown client id"}`)
		return
	}
	a.issued++
	a.token = "token-" + strconv.Itoa(a.issued)
	write(w, http.StatusOK, map[string]any{"access_token": a.token, "token_type": "bearer", "expires_in": 1800, "scope": r.Form.Get("scope")})
}

func (a *API) serveObjects(w http.ResponseWriter, r *http.Request, kind, what string) {
	switch {
	case what == "/search" && r.Method == http.MethodPost:
		a.search(w, r, kind)
	case what == "/batch/read" && r.Method == http.MethodPost:
		a.batchRead(w, r, kind)
	case what == "" && r.Method == http.MethodGet:
		a.list(w, r, kind)
	case what != "" && r.Method == http.MethodGet:
		id, _ := strconv.ParseInt(what[1:], 10, 64)
		if o := a.find(kind, id); o != nil && o.Archived.IsZero() == (r.URL.Query().Get("archived") != "true") {
			write(w, http.StatusOK, o.written(asked(r.URL.Query().Get("properties")), nil))
			return
		}
		refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "Object not found")
	default:
		refuse(w, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "Method not allowed")
	}
}

func (a *API) find(kind string, id int64) *Object {
	at, ok := slices.BinarySearchFunc(a.objects[kind], id, func(have *Object, id int64) int { return cmp.Compare(have.ID, id) })
	if !ok {
		return nil
	}
	return a.objects[kind][at]
}

// findMerged is find, which gives the winner of a merge for the id of the other.
func (a *API) findMerged(kind string, id int64) *Object {
	if o := a.find(kind, id); o != nil {
		return o
	}
	text := strconv.FormatInt(id, 10)
	for _, o := range a.objects[kind] {
		for part := range strings.SplitSeq(o.Properties["hs_merged_object_ids"]+";"+o.Properties["hs_calculated_merged_vids"], ";") {
			if one, _, _ := strings.Cut(part, ":"); one == text {
				return o
			}
		}
	}
	return nil
}

// list gives objects by id, archived ones or the others.
func (a *API) list(w http.ResponseWriter, r *http.Request, kind string) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(cmp.Or(q.Get("limit"), "10"))
	if err != nil || limit < 1 || limit > 100 {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "limit must be between 1 and 100")
		return
	}
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	var found []*Object
	for _, o := range a.objects[kind] {
		if o.ID >= after && o.Archived.IsZero() == (strings.ToLower(q.Get("archived")) != "true") {
			found = append(found, o)
		}
	}
	page := map[string]any{}
	if len(found) > limit {
		page["paging"] = next(strconv.FormatInt(found[limit].ID, 10))
		found = found[:limit]
	}
	results := []any{}
	for _, o := range found {
		results = append(results, o.written(asked(q.Get("properties")), nil))
	}
	page["results"] = results
	write(w, http.StatusOK, page)
}

func next(after string) map[string]any {
	return map[string]any{"next": map[string]string{"after": after, "link": "?after=" + after}}
}

// asked reads a list of properties.
func asked(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// written gives the object as the API does.
func (o *Object) written(properties, history []string) map[string]any {
	p := map[string]any{}
	for _, name := range slices.Concat([]string{"createdate", "hs_object_id", "lastmodifieddate", "hs_lastmodifieddate"}, properties) {
		if value, ok := o.property(name); ok {
			p[name] = value
		} else if slices.Contains(properties, name) {
			p[name] = nil
		}
	}
	out := map[string]any{
		"id": strconv.FormatInt(o.ID, 10), "properties": p, "createdAt": stamp(o.Created), "updatedAt": stamp(o.Updated), "archived": !o.Archived.IsZero(),
	}
	if !o.Archived.IsZero() {
		out["archivedAt"] = stamp(o.Archived)
	}
	if len(history) > 0 {
		of := map[string]any{}
		for _, name := range history {
			of[name] = o.History[name]
		}
		out["propertiesWithHistory"] = of
	}
	return out
}

// property gives one's text; those that HubSpot makes itself too.
func (o *Object) property(name string) (string, bool) {
	switch name {
	case "hs_object_id":
		return strconv.FormatInt(o.ID, 10), true
	case "createdate":
		return stamp(o.Created), true
	case "lastmodifieddate", "hs_lastmodifieddate":
		return stamp(o.Updated), true
	}
	value, ok := o.Properties[name]
	return value, ok
}

// serveProperties lists the properties that objects of a type have.
func (a *API) serveProperties(w http.ResponseWriter, kind string) {
	names := map[string]bool{"createdate": true, "hs_object_id": true, "hs_lastmodifieddate": true}
	for _, o := range a.objects[kind] {
		for name := range o.Properties {
			names[name] = true
		}
	}
	results := []any{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		results = append(results, map[string]any{"name": name, "label": name, "type": "string", "fieldType": "text", "groupName": "information", "options": []any{}})
	}
	write(w, http.StatusOK, map[string]any{"results": results})
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// plural gives the type's name in paths: companies for company.
func plural(kind string) string {
	switch kind {
	case "company":
		return "companies"
	case "contact", "deal", "ticket":
		return kind + "s"
	}
	return kind
}

func readBody(r *http.Request, into any) error { return json.NewDecoder(r.Body).Decode(into) }

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(status)
	text, _ := json.Marshal(body)
	w.Write(text)
}

// refuse answers with an error as HubSpot does.
func refuse(w http.ResponseWriter, status int, category, message string) {
	write(w, status, map[string]any{"status": "error", "message": message, "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf", "category": category})
}
