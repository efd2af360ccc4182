// Package salesforceapi is a fake of Salesforce's REST API, for tests and for trying a
// backfill: it gives tokens and answers queries for the records that it is given.
// jsforce reads it (services/vendors/clients).
//
// Facts: Salesforce's REST API developer guide (Query, QueryAll and their next pages,
// status codes and error responses, Sforce-Query-Options, Sforce-Limit-Info), SOQL
// reference, help on the OAuth 2.0 client credentials flow. Of SOQL it knows SELECT
// with fields or FIELDS(…), FROM one object, WHERE with comparisons, IN, AND, OR and
// parentheses, ORDER BY and LIMIT.
package salesforceapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Organization is whose records they are.
const Organization = "00D5g000004xQzLEAU"

// Record is one, by its fields; attributes are made.
type Record map[string]any

// API serves the token endpoint, query and queryAll. It is safe for concurrent use.
type API struct {
	mu       sync.Mutex
	id       string
	secret   string
	tokens   int // given; the last one is valid
	records  map[string][]Record
	results  map[string][]Record // by locator
	batch    int
	requests int
}

// New makes an API that takes the key "id:secret" and has no records.
func New(key string) *API {
	id, secret, _ := strings.Cut(key, ":")
	return &API{id: id, secret: secret, records: map[string][]Record{}, results: map[string][]Record{}, batch: 2000}
}

// Put adds records of an object, or replaces those of the same Id.
func (a *API) Put(object string, records ...Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range records {
		a.records[object] = append(slices.DeleteFunc(a.records[object], func(have Record) bool { return have["Id"] == r["Id"] }), r)
	}
}

// Purge takes records away for good, as Salesforce does with deleted ones after 15 days.
func (a *API) Purge(object, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.records[object] = slices.DeleteFunc(a.records[object], func(r Record) bool { return r["Id"] == id })
}

// SetBatch sets how many records are on a page: Salesforce gives fewer of wide ones.
func (a *API) SetBatch(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batch = n
}

// EndSession makes the token invalid that was given last.
func (a *API) EndSession() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens++
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path == "/services/oauth2/token" {
		a.token(w, r)
		return
	}
	a.requests++
	w.Header().Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/100000", a.requests))
	if r.Header.Get("Authorization") != "Bearer "+a.valid() {
		refuse(w, http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid")
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/services/data/v")
	version, resource, _ := strings.Cut(rest, "/")
	if _, err := strconv.ParseFloat(version, 64); !ok || err != nil || r.Method != http.MethodGet {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
		return
	}
	kind, locator, more := strings.Cut(strings.Trim(resource, "/"), "/")
	switch {
	case kind != "query" && kind != "queryAll":
		refuse(w, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
	case more:
		a.next(w, version, locator)
	default:
		a.query(w, r, version, kind == "queryAll")
	}
}

func (a *API) valid() string {
	return fmt.Sprintf("%s!AQEAQ.token.%d", Organization[:15], a.tokens)
}

func (a *API) token(w http.ResponseWriter, r *http.Request) {
	id, secret := r.FormValue("client_id"), r.FormValue("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, secret = user, password
	}
	w.Header().Set("Content-Type", "application/json")
	problem := ""
	switch {
	case r.Method != http.MethodPost || r.FormValue("grant_type") != "client_credentials":
		problem = `{"error":"unsupported_grant_type","error_description":"grant type not supported"}`
	case id != a.id:
		problem = `{"error":"invalid_client_id","error_description":"client identifier invalid"}`
	case secret != a.secret:
		problem = `{"error":"invalid_client","error_description":"invalid client credentials"}`
	}
	if problem != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, problem)
		return
	}
	a.tokens++
	write(w, map[string]string{
		"access_token": a.valid(), "instance_url": "http://" + r.Host, "id": "http://" + r.Host + "/id/" + Organization + "/0055g00000UsEr1AAV",
		"token_type": "Bearer", "issued_at": "1760000000000", "signature": "c2lnbmF0dXJl", "scope": "api",
	})
}

func (a *API) query(w http.ResponseWriter, r *http.Request, version string, all bool) {
	q, err := parse(r.URL.Query().Get("q"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "MALFORMED_QUERY", err.Error())
		return
	}
	if q.unbounded && (q.limit < 0 || q.limit > 200) {
		refuse(w, http.StatusBadRequest, "MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200")
		return
	}
	records, known := a.records[q.object]
	if !known {
		refuse(w, http.StatusBadRequest, "INVALID_TYPE", "sObject type '"+q.object+"' is not supported.")
		return
	}
	var found []Record
	for _, record := range records {
		if (all || record["IsDeleted"] != true) && q.where(record) {
			found = append(found, record)
		}
	}
	slices.SortStableFunc(found, q.compare)
	if q.limit >= 0 && len(found) > q.limit {
		found = found[:q.limit]
	}
	shown := make([]Record, len(found))
	for i, record := range found {
		shown[i] = q.show(record, version)
	}
	batch := a.batch
	if size, err := strconv.Atoi(strings.TrimPrefix(r.Header.Get("Sforce-Query-Options"), "batchSize=")); err == nil {
		batch = min(batch, max(200, size))
	}
	locator := fmt.Sprintf("01g5g%010dAAA", len(a.results))
	a.results[locator] = shown
	a.page(w, version, locator, 0, batch)
}

func (a *API) next(w http.ResponseWriter, version, locator string) {
	name, offset, _ := strings.Cut(locator, "-")
	from, err := strconv.Atoi(offset)
	if _, ok := a.results[name]; !ok || err != nil || from < 0 || from > len(a.results[name]) {
		refuse(w, http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
		return
	}
	a.page(w, version, name, from, a.batch)
}

func (a *API) page(w http.ResponseWriter, version, locator string, from, batch int) {
	all := a.results[locator]
	to := min(len(all), from+batch)
	answer := map[string]any{"totalSize": len(all), "done": to == len(all), "records": all[from:to]}
	if to < len(all) {
		// It says query after queryAll too.
		answer["nextRecordsUrl"] = fmt.Sprintf("/services/data/v%s/query/%s-%d", version, locator, to)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	write(w, answer)
}

// show gives a record as the query asks for it.
func (q *query) show(record Record, version string) Record {
	out := Record{"attributes": map[string]any{"type": q.object, "url": fmt.Sprintf("/services/data/v%s/sobjects/%s/%v", version, q.object, record["Id"])}}
	if q.all {
		maps.Copy(out, record)
		return out
	}
	for _, field := range q.fields {
		out[field] = record[field]
	}
	return out
}

func write(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write(body)
}

// refuse answers with an error as Salesforce does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	write(w, []map[string]string{{"message": message, "errorCode": code}})
}
