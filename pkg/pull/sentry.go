package pull

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// mostEmpty is how many pages without events a vendor may give in a row.
const mostEmpty = 100

// sentry watches the pages of one window, in little memory however many they are: a
// vendor that repeats itself must not be asked for ever. The zero sentry has seen
// nothing.
type sentry struct {
	seed         maphash.Seed
	seeded       bool
	pages, empty int
	last         uint64 // of the page before: its events
	// A cursor that comes again has gone round. Of those that came one is kept, after
	// 1, 2, 4, 8, … more (Brent's algorithm), so that any round is noticed.
	kept         []byte
	until, since int
}

// check refuses a page that shows that the window will not end. Those that may be
// better the next time are Transient(Malformed), the others Permanent.
func (s *sentry) check(q source.Query, page source.APIPage, mostPages int) error {
	switch {
	case len(page.Next) > source.MaxCursorBytes:
		return fault.Transient(fault.Malformed, fmt.Errorf("the page's cursor has %d bytes, the bound is %d", len(page.Next), source.MaxCursorBytes))
	case page.Next != nil && len(page.Next) == 0:
		return fault.Transient(fault.Malformed, errors.New("the page has more after it, but no cursor"))
	case page.Next != nil && bytes.Equal(page.Next, q.Cursor):
		return fault.Transient(fault.Malformed, errors.New("the cursor does not move"))
	case s.pages > 0 && len(page.Parts) > 0 && s.digest(page) == s.last:
		return fault.Transient(fault.Malformed, errors.New("the same page came twice"))
	case page.Next != nil && s.kept != nil && bytes.Equal(page.Next, s.kept):
		return fault.Permanent(fault.Malformed, fmt.Errorf("the cursor goes round: it came before, %d pages ago", s.since+1))
	case page.Next != nil && s.pages+1 >= mostPages:
		return fault.Permanent(fault.Malformed, fmt.Errorf("the window from %s to %s has not ended after %d pages",
			q.From.Format(timeLayout), q.To.Format(timeLayout), mostPages))
	case page.Next != nil && len(page.Parts)+page.Others == 0 && s.empty+1 >= mostEmpty:
		return fault.Permanent(fault.Malformed, fmt.Errorf("%d pages in a row had no events and said that there are more", mostEmpty))
	}
	return nil
}

const timeLayout = "2006-01-02T15:04:05Z"

// pass remembers a page that was taken.
func (s *sentry) pass(page source.APIPage) {
	s.pages++
	s.empty++
	if len(page.Parts)+page.Others > 0 {
		s.empty = 0
	}
	if len(page.Parts) > 0 {
		s.last = s.digest(page)
	}
	if s.since++; s.since >= s.until {
		s.kept, s.until, s.since = bytes.Clone(page.Next), max(1, 2*s.until), 0
	}
}

func (s *sentry) digest(page source.APIPage) uint64 {
	if !s.seeded {
		s.seed, s.seeded = maphash.MakeSeed(), true
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, part := range page.Parts {
		_, _ = h.Write(part.Value)
	}
	return h.Sum64()
}
