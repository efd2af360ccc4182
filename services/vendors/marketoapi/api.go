// Package marketoapi is a fake of the part of Marketo's API that backfills, polls and
// learning ask: the activities API, leads by id, and bulk extract of activities. On
// request it behaves as badly as Marketo's does (the fields of API); other faults are
// those of package fakeapi.
//
// Facts: Adobe's developer guide, "Authentication", "Paging Tokens", "Activities",
// "Leads", "Bulk Extract", "Bulk Activity Extract", "Error Codes"; what its paging
// tokens hold is its own. tap-marketo reads it (services/vendors/clients).
package marketoapi

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API is a Marketo instance's API. It is safe for concurrent use; its exported fields
// are set before it is used, or between requests.
type API struct {
	// ClientID and Secret are of the one who may ask.
	ClientID, Secret string
	// Clock is how far the instance's clock is off.
	Clock time.Duration
	// TokenLasts is how long a token is valid, in requests; 0: an hour.
	TokenLasts int
	// PerPage bounds a page; 0: 300.
	PerPage int
	// Empty is how many pages without a result, that say there are more, come before
	// each page with one.
	Empty int
	// Daily is how many requests the day still has; 0: any number.
	Daily int
	// Forbidden are fields that leads have, and that the user may not see.
	Forbidden []string
	// Fields are those that leads have; a request for another is refused.
	Fields []string

	// Polls is how often an export says that it is at work.
	Polls int
	// ExportBytes is what the day's exports may still have; 0: any size.
	ExportBytes int64
	// NoFile is how often a completed export has no file yet.
	NoFile int
	// WrongChecksum: an export's checksum is another file's.
	WrongChecksum bool
	// ShortRange: a part of a file has a byte less than it says.
	ShortRange int
	// Finished is how long ago exports say that they were finished.
	Finished time.Duration

	handler http.Handler

	mu         sync.Mutex
	tokens     map[string]int // requests that a token was used for
	issued     int
	activities []Activity // by time
	leads      map[int64]map[string]any
	exports    []*job
}

// Activity is one, with the members that the REST API gives.
type Activity struct {
	GUID, Lead    int64
	Type          int
	At            time.Time
	CampaignID    int64
	PrimaryID     int64
	Primary       string
	Attributes    []Attribute
	Fields        []map[string]any // of a change of data
	NoID          bool             // as it will be: marketoGUID only
	ZoneAsNumbers bool             // +0000
}

// Attribute is one of an activity's.
type Attribute struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// New makes the API of an instance without leads.
func New(clientID, secret string) *API {
	a := &API{ClientID: clientID, Secret: secret, tokens: map[string]int{}, leads: map[int64]map[string]any{},
		Fields: []string{"id", "email", "company", "website", "firstName", "lastName", "createdAt", "updatedAt", "leadStatus", "leadScore", "leadSource", "unsubscribed", "externalCompanyId", "sfdcAccountId"}}
	mux := http.NewServeMux()
	mux.HandleFunc("/identity/oauth/token", a.token)
	for path, serve := range map[string]func(http.ResponseWriter, *http.Request){
		"GET /rest/v1/activities/types.json":        a.types,
		"GET /rest/v1/activities/pagingtoken.json":  a.pagingToken,
		"GET /rest/v1/activities.json":              a.list,
		"GET /rest/v1/activities/leadchanges.json":  a.changes,
		"GET /rest/v1/activities/deletedleads.json": a.deleted,
		"GET /rest/v1/leads.json":                   a.byID,
		"GET /rest/v1/leads/describe.json":          a.describe,
		"GET /rest/v1/stats/usage.json":             a.usage,
	} {
		mux.Handle(path, a.guard(serve))
	}
	a.exportRoutes(mux)
	mux.Handle("/", a.guard(func(w http.ResponseWriter, _ *http.Request) { a.refuse(w, "610", "Requested resource not found") }))
	a.handler = mux
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Add gives the instance activities.
func (a *API) Add(activities ...Activity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.activities = append(a.activities, activities...)
	slices.SortStableFunc(a.activities, func(x, y Activity) int { return x.At.Compare(y.At) })
}

// AddLead gives the instance a lead.
func (a *API) AddLead(id int64, fields map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fields["id"] = id
	a.leads[id] = fields
}

func (a *API) now() time.Time { return time.Now().Add(a.Clock) }

func (a *API) token(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = r.ParseForm()
	if r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("client_id") != a.ClientID || r.Form.Get("client_secret") != a.Secret {
		w.WriteHeader(http.StatusUnauthorized)
		reply(w, map[string]any{"error": "unauthorized", "error_description": "No client with requested id"})
		return
	}
	a.issued++
	token := fmt.Sprintf("cdf01657-110d-4155-99a7-%012d:int", a.issued)
	a.tokens[token] = 0
	reply(w, map[string]any{"access_token": token, "token_type": "bearer", "expires_in": 3599, "scope": "apis@acme.example"})
}

// guard looks at the token and the day's quota.
func (a *API) guard(serve func(http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.Header().Set("Date", a.now().UTC().Format(http.TimeFormat))
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		used, known := a.tokens[token]
		switch {
		case r.URL.Query().Has("access_token"), !known:
			a.refuse(w, "601", "Access token invalid")
			return
		case a.TokenLasts > 0 && used >= a.TokenLasts:
			a.refuse(w, "602", "Access token expired")
			return
		case a.Daily == 1:
			a.refuse(w, "607", "Max daily quota '50000' reached")
			return
		case a.Daily > 1:
			a.Daily--
		}
		a.tokens[token]++
		serve(w, r)
	})
}

func (a *API) types(w http.ResponseWriter, _ *http.Request) {
	var result []map[string]any
	var ids []int
	for _, one := range a.activities {
		ids = append(ids, one.Type)
	}
	ids = append(ids, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 22, 24, 25, 32, 37, 46, 104, 110)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		result = append(result, map[string]any{"id": id, "name": fmt.Sprintf("Type %d", id), "description": "",
			"primaryAttribute": map[string]any{"name": "Primary", "dataType": "string"}, "attributes": []any{map[string]any{"name": "Step ID", "dataType": "integer"}}})
	}
	a.answer(w, result, nil)
}

func (a *API) pagingToken(w http.ResponseWriter, r *http.Request) {
	since, err := time.Parse(time.RFC3339, r.URL.Query().Get("sinceDatetime"))
	if err != nil {
		a.refuse(w, "704", "Invalid date format")
		return
	}
	a.answer(w, nil, map[string]any{"nextPageToken": tokenAt(since.Unix(), 0, 0)})
}

// tokenAt is a paging token: of the activities since a time, those after the first so
// many, when so many pages without any have come.
func tokenAt(since int64, after, empty int) string {
	return base32.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %d", since, after, empty))
}

func (a *API) list(w http.ResponseWriter, r *http.Request) {
	types := strings.Split(r.URL.Query().Get("activityTypeIds"), ",")
	switch {
	case types[0] == "":
		a.refuse(w, "1002", "Missing value for the required parameter 'activityTypeIds'")
		return
	case len(types) > 10:
		a.refuse(w, "1003", "Invalid data: at most 10 values for 'activityTypeIds'")
		return
	}
	a.page(w, r, func(one Activity) bool { return one.Type != 37 && slices.Contains(types, strconv.Itoa(one.Type)) })
}

func (a *API) changes(w http.ResponseWriter, r *http.Request) {
	fields := strings.Split(r.URL.Query().Get("fields"), ",")
	if a.lacksField(w, fields) {
		return
	}
	a.page(w, r, func(one Activity) bool {
		return slices.ContainsFunc(one.Fields, func(f map[string]any) bool { return slices.Contains(fields, fmt.Sprint(f["name"])) })
	})
}

func (a *API) lacksField(w http.ResponseWriter, fields []string) bool {
	for _, field := range fields {
		switch {
		case field == "":
			a.refuse(w, "1002", "Missing value for the required parameter 'fields'")
			return true
		case slices.Contains(a.Forbidden, field):
			a.refuse(w, "1003", "Invalid data: field '"+field+"' is not permitted")
			return true
		case !slices.Contains(a.Fields, field):
			a.refuse(w, "1006", "Field '"+field+"' not found")
			return true
		}
	}
	return false
}

func (a *API) deleted(w http.ResponseWriter, r *http.Request) {
	a.page(w, r, func(one Activity) bool { return one.Type == 37 })
}

// page gives the activities after a token, and always the token of the next page.
func (a *API) page(w http.ResponseWriter, r *http.Request, wanted func(Activity) bool) {
	token := r.URL.Query().Get("nextPageToken")
	text, err := base32.StdEncoding.DecodeString(token)
	var since int64
	var after, empty int
	if _, scanErr := fmt.Sscanf(string(text), "%d %d %d", &since, &after, &empty); err != nil || scanErr != nil {
		a.refuse(w, "1003", "Invalid data: invalid value for 'nextPageToken'")
		return
	}
	if empty < a.Empty {
		a.answer(w, nil, map[string]any{"nextPageToken": tokenAt(since, after, empty+1), "moreResult": true})
		return
	}
	most := 300
	if a.PerPage > 0 {
		most = a.PerPage
	}
	var found []map[string]any
	seen := 0
	more := false
	for _, one := range a.activities {
		if one.At.Unix() < since || one.At.After(a.now()) || !wanted(one) {
			continue
		}
		if seen++; seen <= after {
			continue
		}
		if len(found) == most {
			more = true
			break
		}
		found = append(found, one.rest())
	}
	extra := map[string]any{"nextPageToken": tokenAt(since, after+len(found), 0), "moreResult": more}
	a.answer(w, found, extra)
}

// rest is an activity as the REST API gives it.
func (one Activity) rest() map[string]any {
	date := one.At.UTC().Format(time.RFC3339)
	if one.ZoneAsNumbers {
		date = one.At.UTC().Format("2006-01-02T15:04:05-0700")
	}
	m := map[string]any{"id": one.GUID, "marketoGUID": strconv.FormatInt(one.GUID, 10), "leadId": one.Lead, "activityDate": date, "activityTypeId": one.Type, "attributes": one.Attributes}
	if one.NoID {
		delete(m, "id")
	}
	if one.Attributes == nil {
		m["attributes"] = []Attribute{}
	}
	for name, value := range map[string]int64{"campaignId": one.CampaignID, "primaryAttributeValueId": one.PrimaryID} {
		if value != 0 {
			m[name] = value
		}
	}
	if one.Primary != "" {
		m["primaryAttributeValue"] = one.Primary
	}
	if one.Fields != nil {
		m["fields"] = one.Fields
	}
	return m
}

func (a *API) byID(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	ids, fields := strings.Split(q.Get("filterValues"), ","), strings.Split(q.Get("fields"), ",")
	switch {
	case q.Get("filterType") != "id":
		a.refuse(w, "1003", "Invalid data: 'filterType'")
		return
	case len(ids) > 300:
		a.refuse(w, "1003", "Invalid data: at most 300 'filterValues'")
		return
	case q.Get("fields") == "":
		fields = []string{"id", "email", "firstName", "lastName", "createdAt", "updatedAt"}
	case a.lacksField(w, fields):
		return
	}
	var found []map[string]any
	for _, text := range ids {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			a.refuse(w, "1001", "Invalid value '"+text+"'. Required of type 'Integer'")
			return
		}
		if lead, ok := a.leads[id]; ok {
			one := map[string]any{"id": id}
			for _, field := range fields {
				one[field] = lead[field]
			}
			found = append(found, one)
		}
	}
	a.answer(w, found, nil)
}

func (a *API) describe(w http.ResponseWriter, _ *http.Request) {
	var result []map[string]any
	for i, field := range a.Fields {
		result = append(result, map[string]any{"id": i, "displayName": field, "dataType": "string", "rest": map[string]any{"name": field, "readOnly": false}})
	}
	a.answer(w, result, nil)
}

func (a *API) usage(w http.ResponseWriter, _ *http.Request) {
	a.answer(w, []map[string]any{{"date": a.now().Format(time.DateOnly), "total": 1, "users": []any{}}}, nil)
}

// answer is one of success. Without a result it has no member for it.
func (a *API) answer(w http.ResponseWriter, result []map[string]any, more map[string]any) {
	m := map[string]any{"requestId": "e42b#14272d07d78", "success": true}
	if result != nil {
		m["result"] = result
	}
	for name, value := range more {
		m[name] = value
	}
	reply(w, m)
}

// refuse answers with an error, as Marketo does: with 200.
func (a *API) refuse(w http.ResponseWriter, code, message string) {
	reply(w, map[string]any{"requestId": "e42b#14272d07d78", "success": false, "errors": []any{map[string]string{"code": code, "message": message}}})
}

// Refusal is the body of an error.
func Refusal(code, message string) string {
	text, _ := json.Marshal(map[string]any{"requestId": "e42b#1", "success": false, "errors": []any{map[string]string{"code": code, "message": message}}})
	return string(text)
}

func reply(w http.ResponseWriter, answer any) {
	text, _ := json.Marshal(answer)
	_, _ = w.Write(text)
}
