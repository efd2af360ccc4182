package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the CRM's API. Sources: developers.hubspot.com "Search the CRM" (200 a
// page, 400 after 10,000 results of one search, new and changed objects come after
// some time, archived ones never), "Objects" (100 a page), "Associations" (batches of
// 100 are safe: airbyte#48834), batch read (50 with history).
const (
	pageObjects  = 100
	pageHistory  = 50
	keepsArchive = 90 * 24 * time.Hour
	keepsJournal = 3 * 24 * time.Hour
	// late is how long the search's index may be behind.
	late = 15 * time.Minute
	// whole is a window that any period fits into: a walk by id has no windows.
	whole = 200 * 365 * 24 * time.Hour
	// mostCompanies bounds the companies that an event carries.
	mostCompanies = 8

	journal  = "journal"
	archived = "archived-"
)

var _ source.Pager = hubspot{}

// walked is a kind of object whose past is asked for.
type walked struct {
	stream, thing string
	modified      string   // the property that says when it was changed last
	staged        string   // the property whose changes are chapters of the story
	properties    []string // those that events carry
	primary       string   // the association type that is the primary company; "": it has none
}

// objects are walked companies first: links of theirs serve the others.
// Source of the types: developers.hubspot.com, "Association type definitions".
var objects = []walked{
	{"companies", thingCompany, "hs_lastmodifieddate", "lifecyclestage", []string{"domain", "name"}, ""},
	{"contacts", thingContact, "lastmodifieddate", "lifecyclestage", []string{"email"}, "1"},
	{"deals", thingDeal, "hs_lastmodifieddate", "dealstage", []string{"dealname", "pipeline", "amount", "closedate"}, "5"},
	{"tickets", thingTicket, "hs_lastmodifieddate", "hs_pipeline_stage", []string{"subject", "hs_pipeline"}, "26"},
}

// Streams implements source.Pager: the journal, or what the CRM has. No key reads both.
func (h hubspot) Streams() []source.Stream {
	if len(h.o.Portals) > 0 {
		return []source.Stream{{Name: journal, Window: whole, Keeps: keepsJournal}}
	}
	var streams []source.Stream
	for _, o := range objects {
		streams = append(streams, source.Stream{Name: o.stream, Window: whole, Late: late})
	}
	for _, o := range objects {
		streams = append(streams, source.Stream{Name: archived + o.stream, Window: whole, Keeps: keepsArchive, Late: late})
	}
	return streams
}

// Page implements source.Pager. A page of objects takes up to four requests: the
// search, their history in two batches, and their companies.
//
// A search is walked by (hs_object_id) beneath one bound of the date of change that
// stands still, and never by `after` or by windows of time: any number of objects may
// share one date, and no search is asked for more than its first page. Neither a change
// nor a new object moves what is still to come.
func (h hubspot) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	if q.Stream == journal {
		return h.journalPage(ctx, api, q)
	}
	name, gone := strings.CutPrefix(q.Stream, archived)
	at := slices.IndexFunc(objects, func(o walked) bool { return o.stream == name })
	if at < 0 {
		return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("HubSpot has no stream %q", q.Stream))
	}
	c, err := h.begin(ctx, api, q)
	if err != nil {
		return source.APIPage{}, err
	}
	w := walk{hubspot: h, api: api, object: objects[at], portal: c.Portal, from: q.From, to: q.To}
	var ids []string
	var more bool
	if gone {
		c.After, more, err = w.archive(ctx, c.After)
	} else {
		if ids, more, err = w.search(ctx, c.After); err == nil && len(ids) > 0 {
			c.After = ids[len(ids)-1]
		}
	}
	if err == nil && len(ids) > 0 {
		err = w.tell(ctx, ids)
	}
	if err != nil {
		return source.APIPage{}, err
	}
	page := source.APIPage{Others: w.read - len(w.told())}
	if page.Parts, err = w.parts(); err != nil || !more {
		return page, err
	}
	page.Next, err = json.Marshal(c)
	return page, err
}

// cursor is where a walk goes on.
type cursor struct {
	Portal string `json:"portal"`
	After  string `json:"after,omitempty"`
}

// begin reads the cursor. At the beginning it asks which portal the key is of: objects
// do not say.
func (h hubspot) begin(ctx context.Context, api source.Doer, q source.Query) (c cursor, err error) {
	if q.Cursor != nil {
		if err := json.Unmarshal(q.Cursor, &c); err != nil || !isID(c.Portal) {
			return c, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor is none of this version (%w)", source.ErrCursorGone))
		}
		return c, nil
	}
	details, err := get(ctx, api, "/account-info/"+h.version()+"/details")
	if err != nil {
		return c, fmt.Errorf("asking for the portal: %w", err)
	}
	if c.Portal = id(details.top.Get("portalId")); !isID(c.Portal) {
		return c, lie(errors.New("the account's details have no portalId"))
	}
	return c, nil
}

// walk is one page's work.
type walk struct {
	hubspot
	api      source.Doer
	object   walked
	portal   string
	from, to time.Time
	read     int // objects

	found map[string]rawjson.Value // by id
	facts []fact
}

// fact is what the past tells, in the form of HubSpot's webhooks and as they name it,
// beside what only the API says. Form keeps the two apart.
type fact struct {
	PortalID         json.Number     `json:"portalId"`
	SubscriptionType string          `json:"subscriptionType"`
	ObjectID         json.Number     `json:"objectId"`
	OccurredAt       int64           `json:"occurredAt"`
	PropertyName     string          `json:"propertyName,omitempty"`
	PropertyValue    json.RawMessage `json:"propertyValue,omitempty"`
	ChangeSource     string          `json:"changeSource,omitempty"`
	SourceID         string          `json:"sourceId,omitempty"`
	API              string          `json:"api"`
	Companies        []json.Number   `json:"companies,omitempty"`
	Object           json.RawMessage `json:"object,omitempty"`
}

// search gives the ids of the next objects, in their order.
func (w *walk) search(ctx context.Context, after string) (ids []string, more bool, err error) {
	type filter struct {
		Property string `json:"propertyName"`
		Operator string `json:"operator"`
		Value    string `json:"value"`
	}
	filters := []filter{{w.object.modified, "GTE", strconv.FormatInt(max(0, w.from.UnixMilli()), 10)}}
	if after != "" {
		filters = append(filters, filter{"hs_object_id", "GT", after})
	}
	a, err := send(ctx, w.api, "POST", w.path("search"), map[string]any{
		"filterGroups": []any{map[string]any{"filters": filters}},
		"sorts":        []any{map[string]string{"propertyName": "hs_object_id", "direction": "ASCENDING"}},
		"properties":   append(slices.Clone(w.object.properties), w.object.staged, "createdate"),
		"limit":        pageObjects,
	})
	if err != nil {
		return nil, false, fmt.Errorf("searching %s: %w", w.object.stream, err)
	}
	results, more, err := listed(a.top)
	if err != nil {
		return nil, false, fmt.Errorf("searching %s: %w", w.object.stream, err)
	}
	w.found = map[string]rawjson.Value{}
	for _, object := range results.Elements() {
		one := id(object.Get("id"))
		if !isID(one) {
			return nil, false, lie(errors.New("an object has no id that is a number"))
		}
		if !before(after, one) {
			return nil, false, lie(errors.New("the search gives an object again, or out of order: the same page came twice"))
		}
		after = one
		ids, w.found[one] = append(ids, one), object
	}
	w.read = len(ids)
	return ids, more, nil
}

// listed takes {"results":[…],"paging":…} apart.
func listed(top rawjson.Value) (results rawjson.Value, more bool, err error) {
	results, next := top.Get("results"), top.At("paging", "next", "after").Literal()
	switch {
	case results.Kind() != rawjson.Array:
		return results, false, lie(errors.New("the answer has no array of results"))
	case results.Len() > pageObjects:
		return results, false, lie(fmt.Errorf("the answer has %d objects where %d were asked for", results.Len(), pageObjects))
	case results.Len() == 0 && next != "":
		return results, false, lie(errors.New("the answer has no objects and says that there are more"))
	}
	return results, next != "" || results.Len() == pageObjects, nil
}

// tell makes the facts of objects that were found: that they were created, and how
// their stage changed.
func (w *walk) tell(ctx context.Context, ids []string) error {
	var staged []string
	for _, one := range ids {
		object := w.found[one]
		if object.At("properties", w.object.staged).Text() != "" {
			staged = append(staged, one)
		}
		if err := w.created(one, object); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(staged, pageHistory) {
		if err := w.history(ctx, batch); err != nil {
			return fmt.Errorf("reading the history of %s: %w", w.object.stream, err)
		}
	}
	if w.object.primary == "" || len(w.facts) == 0 {
		return nil
	}
	of, err := w.companies(ctx, w.api, w.object, w.told())
	if err != nil {
		return err
	}
	for i := range w.facts {
		for _, company := range of[string(w.facts[i].ObjectID)] {
			w.facts[i].Companies = append(w.facts[i].Companies, json.Number(company.id))
		}
	}
	return nil
}

// told gives the objects that facts are of.
func (w *walk) told() []string {
	var ids []string
	for _, f := range w.facts {
		if !slices.Contains(ids, string(f.ObjectID)) {
			ids = append(ids, string(f.ObjectID))
		}
	}
	return ids
}

func (w *walk) created(one string, object rawjson.Value) error {
	at := object.Get("createdAt")
	if !at.Exists() {
		at = object.At("properties", "createdate")
	}
	return w.add(fact{SubscriptionType: w.object.thing + ".creation", ObjectID: json.Number(one), Object: object.Bytes()}, at)
}

// add adds a fact that happened within the period.
func (w *walk) add(f fact, at rawjson.Value) error {
	occurred, err := source.ParseTime(at.Literal())
	if err != nil {
		return lie(fmt.Errorf("an object has no time at which it was created, archived or changed: %w", err))
	}
	if occurred.Before(w.from) || !occurred.Before(w.to) {
		return nil
	}
	f.PortalID, f.OccurredAt, f.API = json.Number(w.portal), occurred.UnixMilli(), "crm"
	w.facts = append(w.facts, f)
	return nil
}

// history adds the changes of stage.
func (w *walk) history(ctx context.Context, ids []string) error {
	a, err := send(ctx, w.api, "POST", w.path("batch/read"), map[string]any{"inputs": inputs(ids), "properties": []string{}, "propertiesWithHistory": []string{w.object.staged}})
	if err != nil {
		return err
	}
	results := a.top.Get("results")
	if results.Kind() != rawjson.Array {
		return lie(errors.New("the answer has no array of results"))
	}
	for _, object := range results.Elements() { // one that is gone meanwhile is not there
		one := id(object.Get("id"))
		if !slices.Contains(ids, one) {
			return lie(errors.New("a batch has an object that was not asked for"))
		}
		for _, version := range object.At("propertiesWithHistory", w.object.staged).Elements() {
			err := w.add(fact{
				SubscriptionType: w.object.thing + "." + actionProperty, ObjectID: json.Number(one), PropertyName: w.object.staged,
				PropertyValue: version.Get("value").Bytes(), ChangeSource: version.Get("sourceType").Text(), SourceID: version.Get("sourceId").Text(),
			}, version.Get("timestamp"))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// company is one that an object is associated with.
type company struct {
	id      string
	primary bool
}

// companies gives the companies of objects of one kind, at most pageObjects, the
// primary one first. An object without any is not in the answer.
func (h hubspot) companies(ctx context.Context, api source.Doer, of walked, ids []string) (map[string][]company, error) {
	a, err := send(ctx, api, "POST", "/crm/associations/"+h.version()+"/"+of.stream+"/companies/batch/read", map[string]any{"inputs": inputs(ids)})
	if err != nil {
		return nil, fmt.Errorf("reading the companies of %s: %w", of.stream, err)
	}
	results := a.top.Get("results")
	if results.Kind() != rawjson.Array {
		return nil, lie(errors.New("a batch of associations has no array of results"))
	}
	found := map[string][]company{}
	for _, result := range results.Elements() {
		from := id(result.At("from", "id"))
		if !slices.Contains(ids, from) {
			return nil, lie(errors.New("a batch of associations has an object that was not asked for"))
		}
		list := found[from]
		for _, to := range result.Get("to").Elements() {
			one := company{id: id(to.Get("toObjectId"))}
			for _, kind := range to.Get("associationTypes").Elements() {
				one.primary = one.primary || kind.Get("category").Is("HUBSPOT_DEFINED") && id(kind.Get("typeId")) == of.primary
			}
			if isID(one.id) {
				list = append(list, one)
			}
		}
		slices.SortStableFunc(list, func(a, b company) int { return rank(a) - rank(b) })
		found[from] = list[:min(len(list), mostCompanies)]
	}
	return found, nil
}

func rank(c company) int {
	if c.primary {
		return 0
	}
	return 1
}

// archive adds that objects were archived, and before that created; the search does
// not find them. HubSpot lists them in no order of time, so each walk goes through all.
func (w *walk) archive(ctx context.Context, after string) (next string, more bool, err error) {
	path := fmt.Sprintf("/crm/objects/%s/%s?archived=true&limit=%d&properties=%s", w.version(), w.object.stream, pageObjects, strings.Join(w.object.properties, ","))
	if after != "" {
		path += "&after=" + queryEscape(after)
	}
	a, err := get(ctx, w.api, path)
	if err != nil {
		return "", false, fmt.Errorf("listing archived %s: %w", w.object.stream, err)
	}
	results, _, err := listed(a.top)
	if err != nil {
		return "", false, fmt.Errorf("listing archived %s: %w", w.object.stream, err)
	}
	for _, object := range results.Elements() {
		one := id(object.Get("id"))
		if !isID(one) {
			return "", false, lie(errors.New("an object has no id that is a number"))
		}
		if err := w.created(one, object); err != nil {
			return "", false, err
		}
		if err := w.add(fact{SubscriptionType: w.object.thing + ".deletion", ObjectID: json.Number(one), Object: object.Bytes()}, object.Get("archivedAt")); err != nil {
			return "", false, err
		}
	}
	w.read = results.Len()
	next = a.top.At("paging", "next", "after").Literal()
	return next, next != "", nil
}

// parts gives the facts, the oldest first.
func (w *walk) parts() ([]source.Part, error) {
	slices.SortStableFunc(w.facts, func(a, b fact) int { return int(min(1, max(-1, a.OccurredAt-b.OccurredAt))) })
	parts := make([]source.Part, 0, len(w.facts))
	for _, f := range w.facts {
		text, err := json.Marshal(f)
		if err != nil {
			return nil, lie(fmt.Errorf("an object cannot be written: %w", err))
		}
		parts = append(parts, source.Part{Value: text, Tenant: w.portal})
	}
	return parts, nil
}

func (w *walk) path(what string) string {
	return "/crm/objects/" + w.version() + "/" + w.object.stream + "/" + what
}

// inputs is the body of a batch.
func inputs(ids []string) []map[string]string {
	list := make([]map[string]string, len(ids))
	for i, one := range ids {
		list[i] = map[string]string{"id": one}
	}
	return list
}

// isID: a whole number, as all ids of the CRM are.
func isID(text string) bool {
	const most = 20
	return text != "" && len(text) <= most && text[0] != '0' && strings.Trim(text, "0123456789") == ""
}

// before compares ids as numbers; "" is before all.
func before(a, b string) bool {
	return len(a) < len(b) || len(a) == len(b) && a < b
}
