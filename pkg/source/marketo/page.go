package marketo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the activities API. Source: Adobe's developer guide, "Activities" (300 a
// page, at most ten types, few or no results while moreResult is true) and "Paging
// Tokens". That activities come in the order of their time is not said: so a page is
// taken to be behind the period when all of it is.
const (
	pageActivities = 300
	mostTypes      = 10
	mostFields     = 50
	day            = 24 * time.Hour
	// late covers clocks that disagree, and activities that are logged late.
	late = 15 * time.Minute

	streamActivities = "activities"
	streamChanges    = "lead_changes"
	streamDeleted    = "deleted_leads"
	streamBulk       = "bulk_activities"
)

// changedFields are those whose changes are asked for where none are named: standard
// fields, which every instance has (Adobe's developer guide, "List of Standard Fields").
var changedFields = []string{"email", "company", "website", "leadStatus", "leadScore", "leadSource", "unsubscribed"}

var _ source.Pager = marketo{}

// Streams implements source.Pager. What lead_changes tells is in activities, too (type
// 13), and bulk_activities brings the same as activities, but in files.
func (marketo) Streams() []source.Stream {
	return []source.Stream{
		{Name: streamActivities, Window: day, MostTypes: 100, Poll: true, Late: late},
		{Name: streamDeleted, Window: 30 * day, Poll: true, Late: late},
		{Name: streamChanges, Window: day, MostTypes: mostFields, Late: late},
		{Name: streamBulk, Window: mostExport, MostTypes: 100, Late: late},
	}
}

// Page implements source.Pager. The types of activities and bulk_activities are
// numbers of activity types, those of lead_changes the API's names of fields. The
// first page of a period takes up to three requests, every other one.
func (marketo) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	switch q.Stream {
	case streamActivities, streamChanges, streamDeleted:
		page, err := walk(ctx, api, q)
		if err != nil {
			return source.APIPage{}, fmt.Errorf("asking for %s: %w", strings.ReplaceAll(q.Stream, "_", " "), err)
		}
		return page, nil
	case streamBulk:
		page, err := exported(ctx, api, q)
		if err != nil {
			return source.APIPage{}, fmt.Errorf("exporting activities: %w", err)
		}
		return page, nil
	}
	return source.APIPage{}, fault.Permanent(fault.Unsupported, fmt.Errorf("there is no stream %q", q.Stream))
}

// place is where a walk goes on.
type place struct {
	Start string   `json:"start"`           // token of the period's beginning
	Token string   `json:"token"`           // of the next page
	Types []string `json:"types,omitempty"` // activity types that are left, those of the page first
}

func walk(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	at, err := begin(ctx, api, q)
	if err != nil {
		return source.APIPage{}, err
	}
	ask, path := url.Values{"nextPageToken": {at.Token}}, "/rest/v1/activities/deletedleads.json"
	switch q.Stream {
	case streamActivities:
		path = "/rest/v1/activities.json"
		ask.Set("activityTypeIds", strings.Join(at.Types[:min(mostTypes, len(at.Types))], ","))
	case streamChanges:
		path = "/rest/v1/activities/leadchanges.json"
		fields := q.Types
		if len(fields) == 0 {
			fields = changedFields
		}
		ask.Set("fields", strings.Join(fields, ","))
	}
	answer, err := get(ctx, api, path, ask)
	if err != nil {
		return source.APIPage{}, err
	}
	page, more, token, err := readPage(answer, q)
	switch {
	case err != nil:
		return source.APIPage{}, err
	case more:
		at.Token = token
	case len(at.Types) > mostTypes:
		at.Types, at.Token = at.Types[mostTypes:], at.Start
	default:
		return page, nil
	}
	page.Next, err = json.Marshal(at)
	return page, err
}

// begin gives the place of a cursor, or asks where the period begins.
func begin(ctx context.Context, api source.Doer, q source.Query) (at place, err error) {
	if q.Cursor != nil {
		if err = json.Unmarshal(q.Cursor, &at); err != nil || at.Token == "" || q.Stream == streamActivities && len(at.Types) == 0 {
			return at, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor cannot be read (%w)", source.ErrCursorGone))
		}
		return at, nil
	}
	for _, t := range q.Types {
		if !isName(t) {
			return at, fault.Permanent(fault.Malformed, fmt.Errorf("%.20q is neither the number of an activity type nor the API's name of a field", t))
		}
	}
	if at.Types = q.Types; q.Stream != streamActivities {
		at.Types = nil
	} else if len(at.Types) == 0 {
		if at.Types, err = allTypes(ctx, api); err != nil {
			return at, err
		}
	}
	answer, err := get(ctx, api, "/rest/v1/activities/pagingtoken.json", url.Values{"sinceDatetime": {q.From.UTC().Format(time.RFC3339)}})
	if err != nil {
		return at, err
	}
	if at.Start = answer.Get("nextPageToken").Text(); at.Start == "" {
		return at, lie("there is no paging token in the answer")
	}
	at.Token = at.Start
	return at, nil
}

// allTypes gives the numbers of the instance's activity types.
func allTypes(ctx context.Context, api source.Doer) (ids []string, err error) {
	answer, err := get(ctx, api, "/rest/v1/activities/types.json", nil)
	if err != nil {
		return nil, err
	}
	for _, t := range answer.Get("result").Elements() {
		// A deleted lead is told by an API of its own.
		if id := t.Get("id").Literal(); isName(id) && id != "37" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, lie("the instance has no activity types")
	}
	return ids, nil
}

// readPage takes the events of the period out of an answer, and says whether it goes
// on, and where.
func readPage(answer rawjson.Value, q source.Query) (page source.APIPage, more bool, token string, err error) {
	result, moreResult := answer.Get("result"), answer.Get("moreResult")
	switch {
	case result.Exists() && result.Kind() != rawjson.Array:
		return page, false, "", lie("the answer's result is no array")
	case moreResult.Kind() != rawjson.Bool:
		return page, false, "", lie("the answer does not say whether there is a moreResult")
	case result.Len() > pageActivities:
		return page, false, "", lie("the answer has %d activities where %d are the most", result.Len(), pageActivities)
	}
	behind := 0
	for _, element := range result.Elements() {
		at, err := source.ParseTime(element.Get("activityDate").Literal())
		switch {
		case err == nil && !at.Before(q.To):
			behind++
			page.Others++
		case err == nil && at.Before(q.From):
			page.Others++
		default:
			page.Parts = append(page.Parts, source.Part{Value: element.Bytes(), Object: element})
		}
	}
	slices.SortStableFunc(page.Parts, func(a, b source.Part) int {
		return strings.Compare(a.Object.Get("activityDate").Text(), b.Object.Get("activityDate").Text())
	})
	if !moreResult.Bool() || behind > 0 && behind == result.Len() {
		return page, false, "", nil
	}
	if token = answer.Get("nextPageToken").Text(); token == "" || len(token) > source.MaxCursorBytes/4 {
		return page, false, "", lie("the answer has more, but no token to go on from")
	}
	return page, true, token, nil
}
