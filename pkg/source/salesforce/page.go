package salesforce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// streams are the objects whose records are asked for.
var streams = []struct{ name, object string }{
	{"accounts", "Account"}, {"contacts", "Contact"}, {"leads", "Lead"}, {"opportunities", "Opportunity"}, {"cases", "Case"},
}

const (
	window = 30 * 24 * time.Hour
	// together is how many windows are walked at once: an organization allows 25 long
	// requests at a time.
	together = 4
	// late is how long a transaction may last, whose records have a stamp of its
	// beginning.
	late = 10 * time.Minute

	soqlTime = "2006-01-02T15:04:05.000Z"
)

var _ source.Pager = salesforce{}

// Streams implements source.Pager. A record is told as it is now, once: what it was
// before, the API does not know.
func (salesforce) Streams() []source.Stream {
	out := make([]source.Stream, len(streams))
	for i, s := range streams {
		out[i] = source.Stream{Name: s.name, Window: window, Together: together, Late: late}
	}
	return out
}

// place is a record's in the walk.
type place struct {
	stamp time.Time
	id    string
}

// Page implements source.Pager. Records are walked in the order of SystemModstamp and
// Id, each page behind the last record of the one before: so many may have one stamp,
// and there is no locator that ends after two days. FIELDS(ALL) has the organization's
// own fields, as far as the app may see them.
func (salesforce) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	at := slices.IndexFunc(streams, func(s struct{ name, object string }) bool { return s.name == q.Stream })
	if at < 0 {
		return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("Salesforce has no stream %q", q.Stream))
	}
	object := streams[at].object
	from, to := q.From.UTC().Format(soqlTime), q.To.UTC().Format(soqlTime)
	where := "SystemModstamp >= " + from
	before, err := readCursor(q.Cursor)
	if err != nil {
		return source.APIPage{}, err
	}
	if before.id != "" {
		stamp := before.stamp.Format(soqlTime)
		where = fmt.Sprintf("(SystemModstamp > %s OR (SystemModstamp = %s AND Id > '%s'))", stamp, stamp, before.id)
	}
	a, err := query(ctx, api, object, fmt.Sprintf("SELECT FIELDS(ALL) FROM %s WHERE %s AND SystemModstamp < %s ORDER BY SystemModstamp, Id LIMIT %d", object, where, to, mostRows))
	if err != nil {
		return source.APIPage{}, err
	}
	var page source.APIPage
	last := before
	for _, record := range a.records.Elements() {
		stamp, err := source.ParseTime(record.Get("SystemModstamp").Literal())
		if err != nil {
			return source.APIPage{}, lie(errors.New("a record has no SystemModstamp that can be read"))
		}
		id, _ := ID(record.Get("Id").Text()) // query has seen it
		if stamp.Before(last.stamp) || stamp.Equal(before.stamp) && id == before.id {
			return source.APIPage{}, lie(errors.New("the records do not come behind those of the page before, in the order of SystemModstamp"))
		}
		last = place{stamp.UTC(), id}
		page.Parts = append(page.Parts, source.Part{Value: record.Bytes(), Object: record})
	}
	if !a.done || len(page.Parts) == mostRows {
		page.Next = []byte(last.stamp.Format(soqlTime) + " " + last.id)
	}
	return page, nil
}

func readCursor(cursor []byte) (place, error) {
	if cursor == nil {
		return place{}, nil
	}
	stamp, id, _ := strings.Cut(string(cursor), " ")
	at, err := time.Parse(soqlTime, stamp)
	if _, ok := ID(id); !ok || err != nil {
		return place{}, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor is none of this version (%w)", source.ErrCursorGone))
	}
	return place{at, id}, nil
}
