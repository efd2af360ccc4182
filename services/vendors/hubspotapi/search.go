package hubspotapi

import (
	"cmp"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The bounds of HubSpot's search and batches.
const (
	mostFound    = 10_000
	mostPage     = 200
	mostGroups   = 5
	mostFilters  = 6
	mostBatch    = 100
	mostVersions = 50
)

type filter struct {
	PropertyName, Operator, Value, HighValue string
	Values                                   []string
}

// search gives at most 10,000 objects of a search, in pages, and refuses to go beyond.
// Archived ones and those that the index does not have yet are not found.
func (a *API) search(w http.ResponseWriter, r *http.Request, kind string) {
	var q struct {
		FilterGroups []struct{ Filters []filter }
		Sorts        []any // an object, or a property's name
		Properties   []string
		Limit        *int
		After        any // a text or a number
	}
	if err := readBody(r, &q); err != nil {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON")
		return
	}
	limit, after := 10, 0
	if q.Limit != nil {
		limit = *q.Limit
	}
	switch v := q.After.(type) {
	case string:
		after, _ = strconv.Atoi(v)
	case float64:
		after = int(v)
	}
	groups := [][]filter{}
	for _, g := range q.FilterGroups {
		groups = append(groups, g.Filters)
	}
	switch {
	case limit < 1 || limit > mostPage:
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "limit must be between 1 and 200")
		return
	case after+limit > mostFound:
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "There was a problem with the request: paging beyond 10000 results")
		return
	case len(q.Sorts) > 1:
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "only one sort is allowed")
		return
	case len(groups) > mostGroups || slices.ContainsFunc(groups, func(g []filter) bool { return len(g) > mostFilters }):
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "too many filters")
		return
	}
	indexed := time.Now().Add(-a.lag)
	var found []*Object
	for _, o := range a.objects[kind] {
		if o.Archived.IsZero() && (a.lag == 0 || o.Updated.Before(indexed)) && fits(o, groups) {
			found = append(found, o)
		}
	}
	sorted(found, q.Sorts)
	page := map[string]any{"total": len(found)}
	found = found[min(after, len(found)):]
	if len(found) > limit {
		page["paging"] = next(strconv.Itoa(after + limit))
		found = found[:limit]
	}
	results := []any{}
	for _, o := range found {
		results = append(results, o.written(q.Properties, nil))
	}
	page["results"] = results
	write(w, http.StatusOK, page)
}

func fits(o *Object, groups [][]filter) bool {
	return len(groups) == 0 || slices.ContainsFunc(groups, func(g []filter) bool {
		return !slices.ContainsFunc(g, func(f filter) bool { return !f.fits(o) })
	})
}

func (f filter) fits(o *Object) bool {
	have, ok := "", true
	if f.PropertyName != "hs_object_id" && f.PropertyName != "lastmodifieddate" && f.PropertyName != "hs_lastmodifieddate" {
		have, ok = o.property(f.PropertyName)
	}
	switch f.Operator {
	case "HAS_PROPERTY":
		return ok
	case "NOT_HAS_PROPERTY":
		return !ok
	case "IN":
		return ok && slices.Contains(f.Values, have)
	}
	if !ok {
		return false
	}
	order := o.compare(f.PropertyName, have, f.Value)
	switch f.Operator {
	case "EQ":
		return order == 0
	case "NEQ":
		return order != 0
	case "GT":
		return order > 0
	case "GTE":
		return order >= 0
	case "LT":
		return order < 0
	case "LTE":
		return order <= 0
	case "BETWEEN":
		return order >= 0 && o.compare(f.PropertyName, have, f.HighValue) <= 0
	}
	return false
}

// compare compares a property with a filter's value.
func (o *Object) compare(property, have, value string) int {
	if n, ok := numberOf(value); ok {
		switch property { // what every search filters by
		case "hs_object_id":
			return cmp.Compare(o.ID, n)
		case "lastmodifieddate", "hs_lastmodifieddate":
			return cmp.Compare(o.Updated.UnixMilli(), n)
		}
	}
	return compare(have, value)
}

// compare knows numbers and times, of which a filter may have the milliseconds.
func compare(a, b string) int {
	if x, ok := numberOf(a); ok {
		if y, ok := numberOf(b); ok {
			return int(min(1, max(-1, x-y)))
		}
	}
	return strings.Compare(a, b)
}

func numberOf(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if len(text) > 10 && text[4] == '-' {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// sorted sorts by the one property that is asked for, else by the time of creation.
func sorted(found []*Object, sorts []any) {
	property, down := "createdate", false
	if len(sorts) > 0 {
		switch s := sorts[0].(type) {
		case string:
			property = strings.TrimPrefix(s, "-")
			down = property != s
		case map[string]any:
			property, _ = s["propertyName"].(string)
			down = s["direction"] == "DESCENDING"
		}
	}
	if property == "hs_object_id" && !down {
		return // they lie so
	}
	sort.SliceStable(found, func(i, j int) bool {
		a, _ := found[i].property(property)
		b, _ := found[j].property(property)
		order := compare(a, b)
		return order < 0 && !down || order > 0 && down
	})
}

// batchRead gives objects by their ids: 207 where some are not there.
func (a *API) batchRead(w http.ResponseWriter, r *http.Request, kind string) {
	var q struct {
		Inputs                            []struct{ ID any }
		Properties, PropertiesWithHistory []string
		IDProperty                        string
	}
	if err := readBody(r, &q); err != nil {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON")
		return
	}
	most := mostBatch
	if len(q.PropertiesWithHistory) > 0 {
		most = mostVersions
	}
	if len(q.Inputs) > most {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "The maximum number of inputs is "+strconv.Itoa(most))
		return
	}
	results, missing := []any{}, []string{}
	for _, input := range q.Inputs {
		id := idOf(input.ID)
		o := a.findMerged(kind, id)
		if o == nil || o.Archived.IsZero() == (r.URL.Query().Get("archived") == "true") {
			missing = append(missing, strconv.FormatInt(id, 10))
			continue
		}
		results = append(results, o.written(q.Properties, q.PropertiesWithHistory))
	}
	batch(w, results, missing, "Could not get some of the objects", "OBJECT_NOT_FOUND")
}

func idOf(v any) int64 {
	switch v := v.(type) {
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	case float64:
		return int64(v)
	}
	return 0
}

func batch(w http.ResponseWriter, results []any, missing []string, message, category string) {
	now := stamp(time.Now())
	body := map[string]any{"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
	status := http.StatusOK
	if len(missing) > 0 {
		status = http.StatusMultiStatus
		body["numErrors"] = 1
		body["errors"] = []any{map[string]any{"status": "error", "category": category, "message": message, "context": map[string]any{"ids": missing}}}
	}
	write(w, status, body)
}

// serveAssociations gives the objects of another type that some have: 207 where one
// has none.
func (a *API) serveAssociations(w http.ResponseWriter, r *http.Request, old bool, from, to string) {
	var q struct{ Inputs []struct{ ID any } }
	if r.Method != http.MethodPost || readBody(r, &q) != nil {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON")
		return
	}
	if len(q.Inputs) > mostBatch {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "The maximum number of inputs is 100")
		return
	}
	results, missing := []any{}, []string{}
	for _, input := range q.Inputs {
		id := idOf(input.ID)
		o := a.find(from, id)
		text := strconv.FormatInt(id, 10)
		if o == nil || len(o.To[to]) == 0 {
			missing = append(missing, text)
			continue
		}
		list := []any{}
		for _, one := range o.To[to] {
			if old {
				list = append(list, map[string]any{"id": strconv.FormatInt(one.To, 10), "type": strings.TrimSuffix(from, "s") + "_to_" + strings.TrimSuffix(to, "s")})
				continue
			}
			types := []any{map[string]any{"category": "HUBSPOT_DEFINED", "typeId": one.Type, "label": nullable(one.Label)}}
			list = append(list, map[string]any{"toObjectId": one.To, "associationTypes": types})
		}
		results = append(results, map[string]any{"from": map[string]string{"id": text}, "to": list})
	}
	batch(w, results, missing, "No associations found", "OBJECT_NOT_FOUND")
}

func nullable(text string) any {
	if text == "" {
		return nil
	}
	return text
}
