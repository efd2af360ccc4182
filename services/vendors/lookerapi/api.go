// Package lookerapi is a fake of Looker's API, for tests and for trying a backfill: the
// login, queries of System Activity, users and scheduled plans. By package fakeapi it
// also limits, fails and lies. Looker's own SDK reads it (services/vendors/clients).
//
// Facts: docs.cloud.google.com/looker API 4.0 reference (Login, Run Inline Query, Get
// All Users, Get All Scheduled Plans); a query that fails is a 200 with looker_error
// (spectacles-ci#67); all ids of API 4.0 are strings, those in a query's rows numbers.
package lookerapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Row is one of System Activity, by its columns; times are time.Time.
type Row map[string]any

// API serves what it is given. It is safe for concurrent use.
type API struct {
	mu       sync.Mutex
	id       string
	secret   string
	tokens   int // given; the last one is valid
	rows     map[string][]Row
	users    []Row
	plans    []Row
	textIDs  bool
	turnsIDs bool
	zone     *time.Location // of rows that no query_timezone is asked for
}

// mostRows is what it gives at most, whatever is asked for.
const mostRows = 5000

// New makes an API that takes the key "id:secret" and has nothing.
func New(key string) *API {
	id, secret, _ := strings.Cut(key, ":")
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		zone = time.UTC
	}
	return &API{id: id, secret: secret, rows: map[string][]Row{"history": nil, "event": nil}, zone: zone}
}

// Put adds rows of a view: history or event.
func (a *API) Put(view string, rows ...Row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows[view] = append(a.rows[view], rows...)
}

// Prune takes away the rows of a view before this id.
func (a *API) Prune(view string, before int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows[view] = slices.DeleteFunc(a.rows[view], func(r Row) bool { return r[view+".id"].(int) < before })
}

// PutUser adds a user of the instance, as the API has it.
func (a *API) PutUser(user Row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users = append(a.users, user)
}

// PutPlan adds a scheduled plan, as the API has it.
func (a *API) PutPlan(plan Row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plans = append(a.plans, plan)
}

// TurnIDs lets the ids in rows be numbers in one answer and texts in the next.
func (a *API) TurnIDs() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turnsIDs = true
}

// EndToken makes the token invalid that was given last.
func (a *API) EndToken() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens++
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	resource, ok := strings.CutPrefix(r.URL.Path, "/api/4.0/")
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "Not found")
	case resource == "login" && r.Method == http.MethodPost:
		a.login(w, r)
	case r.Header.Get("Authorization") != "token "+a.token() && r.Header.Get("Authorization") != "Bearer "+a.token():
		refuse(w, http.StatusUnauthorized, "Requires authentication.")
	case resource == "queries/run/json" && r.Method == http.MethodPost:
		a.run(w, r)
	case resource == "users" && r.Method == http.MethodGet:
		a.list(w, r, a.users)
	case resource == "scheduled_plans" && r.Method == http.MethodGet:
		a.list(w, r, a.plans)
	case resource == "logout":
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusNotFound, "Not found")
	}
}

func (a *API) token() string { return fmt.Sprintf("token-%d-0123456789", a.tokens) }

func (a *API) login(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("client_id") != a.id || r.FormValue("client_secret") != a.secret {
		refuse(w, http.StatusNotFound, "Not found")
		return
	}
	a.tokens++
	write(w, map[string]any{"access_token": a.token(), "token_type": "Bearer", "expires_in": 3600, "refresh_token": nil})
}

// list gives those of the objects that ids names, or all, with the fields that are asked for.
func (a *API) list(w http.ResponseWriter, r *http.Request, all []Row) {
	ids := strings.Split(r.URL.Query().Get("ids"), ",")
	fields := strings.Split(r.URL.Query().Get("fields"), ",")
	found := []Row{}
	for _, one := range all {
		if ids[0] != "" && !slices.Contains(ids, fmt.Sprint(one["id"])) {
			continue
		}
		shown := Row{}
		for name, value := range one {
			if fields[0] == "" || slices.Contains(fields, name) {
				shown[name] = value
			}
		}
		found = append(found, shown)
	}
	write(w, found)
}

// inline is the body of a query.
type inline struct {
	Model         string            `json:"model"`
	View          string            `json:"view"`
	Fields        []string          `json:"fields"`
	Filters       map[string]string `json:"filters"`
	Sorts         []string          `json:"sorts"`
	Limit         string            `json:"limit"`
	QueryTimezone string            `json:"query_timezone"`
}

func (a *API) run(w http.ResponseWriter, r *http.Request) {
	var q inline
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, "Bad request")
		return
	}
	rows, ok := a.rows[q.View]
	if q.Model != "system__activity" || !ok || len(q.Fields) == 0 {
		write(w, []Row{{"looker_error": "Explore not found"}})
		return
	}
	zone, limit := a.zone, 500
	if at, err := time.LoadLocation(q.QueryTimezone); err == nil && q.QueryTimezone != "" {
		zone = at
	}
	for _, text := range []string{q.Limit, r.URL.Query().Get("limit")} {
		if n, err := strconv.Atoi(text); err == nil {
			limit = n
		}
	}
	if limit < 0 || limit > mostRows {
		limit = mostRows
	}
	a.textIDs = a.turnsIDs != a.textIDs
	found := []Row{}
	for _, row := range sorted(rows, q.View) {
		if len(found) < limit && matches(row, q.Filters, zone) {
			found = append(found, a.show(row, q.Fields, zone))
		}
	}
	write(w, found)
}

func sorted(rows []Row, view string) []Row {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(x, y Row) int { return cmp.Compare(x[view+".id"].(int), y[view+".id"].(int)) })
	return rows
}

// matches holds a row against filters of two kinds: ">4711" and "2026-01-01 00:00:00 to
// 2026-01-02 00:00:00", in the query's zone.
func matches(row Row, filters map[string]string, zone *time.Location) bool {
	for column, filter := range filters {
		if above, ok := strings.CutPrefix(filter, ">"); ok {
			n, err := strconv.Atoi(above)
			if id, is := row[column].(int); err != nil || !is || id <= n {
				return false
			}
			continue
		}
		from, to, _ := strings.Cut(filter, " to ")
		start, err := time.ParseInLocation(time.DateTime, from, zone)
		end, errEnd := time.ParseInLocation(time.DateTime, to, zone)
		at, is := row[column].(time.Time)
		if err != nil || errEnd != nil || !is || at.Before(start) || !at.Before(end) {
			return false
		}
	}
	return true
}

func (a *API) show(row Row, fields []string, zone *time.Location) Row {
	shown := Row{}
	for _, field := range fields {
		switch value := row[field].(type) {
		case time.Time:
			shown[field] = value.In(zone).Format(time.DateTime)
		case int:
			shown[field] = value
			if a.textIDs {
				shown[field] = strconv.Itoa(value)
			}
		default:
			shown[field] = value
		}
	}
	return shown
}

func write(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write(body)
}

// refuse answers with an error as Looker does.
func refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	write(w, map[string]string{"message": message, "documentation_url": "https://cloud.google.com/looker/docs/"})
}
