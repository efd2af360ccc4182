package backend

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// A cursor is a place in a list and a hash of what the list is of, as base64url of JSON. It holds nothing secret, and a
// forged one shows no more than the list does. cursorVersion is raised where older ones cannot be read any more.
type cursor[P any] struct {
	Version int    `json:"v"`
	List    []byte `json:"l"`
	Place   P      `json:"p"`
}

const (
	cursorVersion = 1
	// maxCursor bounds the text of a cursor, as openapi.yaml does: a place in the feed names running transactions.
	maxCursor = 8 << 10
)

// writeCursor gives the text of a place. of is what the list is of: its name and its parameters.
func writeCursor[P any](place P, of ...any) string {
	text, err := json.Marshal(cursor[P]{cursorVersion, listHash(of), place})
	if err != nil {
		panic(err) // places are numbers, texts and times
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// readCursor reads what writeCursor wrote; nil for "". An error is Permanent, Malformed, about the field cursor.
func readCursor[P any](text string, of ...any) (*P, error) {
	if text == "" {
		return nil, nil
	}
	var c cursor[P]
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil && len(text) <= maxCursor {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&c)
	}
	switch {
	case err != nil || len(text) > maxCursor || c.Version != cursorVersion:
		return nil, badCursor("this is no cursor: leave it out to begin at the first page")
	case !bytes.Equal(c.List, listHash(of)):
		return nil, badCursor("this cursor is of a list with other parameters: give the same ones, or leave it out to begin at the first page")
	}
	return &c.Place, nil
}

func badCursor(why string) error {
	return problem.Field("cursor", fault.Permanent(fault.Malformed, errors.New(why)))
}

func listHash(of []any) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", fmt.Sprintf("%#v", of)))
	return sum[:6]
}

// pageLimit gives a page's size.
func (p Paging) size() (int, error) {
	switch {
	case p.Limit == 0:
		return 100, nil
	case p.Limit < 1 || p.Limit > 1000:
		return 0, problem.Field("limit", fault.Permanent(fault.Malformed, errors.New("a page has 1 to 1,000 items")))
	}
	return p.Limit, nil
}

// paged cuts a list that was read with one item more than the page has, and gives the cursor behind the last.
func paged[T, P any](list []T, limit int, place func(T) P, of ...any) ([]T, string) {
	if len(list) <= limit {
		return list, ""
	}
	list = list[:limit]
	return list, writeCursor(place(list[limit-1]), of...)
}

// page makes a Page of what list has.
func page[T, V any](list []T, next string, view func(T) V) Page[V] {
	p := Page[V]{Items: make([]V, len(list)), Next: next}
	for i, item := range list {
		p.Items[i] = view(item)
	}
	return p
}
