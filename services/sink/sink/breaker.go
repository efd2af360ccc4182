package sink

import (
	"errors"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// errBreakerOpen is in the chain of what check gives.
var errBreakerOpen = errors.New("the breaker is open")

// breaker tells a bad record from a bad deployment: when limit records in a row
// cannot be stored, without a good one between them, no more are dead-lettered
// until one is stored again.
type breaker struct {
	limit int // 0: never opens
	lost  int // in a row, in batches that went through
}

// check is asked with a batch's lost and (at best) stored records, and gives a
// Transient error when the breaker is open.
func (b *breaker) check(lost, stored int) error {
	if b.limit == 0 || lost <= stored {
		return nil
	}
	inARow := lost
	if stored == 0 {
		inARow += b.lost
	}
	if inARow < b.limit {
		return nil
	}
	return fault.Transient(fault.Unavailable, fmt.Errorf(
		"%w: %d records in a row could not be stored, so none is dead-lettered; look for a migration, a deployment or a schema registry that went wrong (or set THROUGHLINE_SINK_BREAKER_ROWS=0 to dead-letter them)", errBreakerOpen, inARow))
}

// note counts a batch that went through.
func (b *breaker) note(lost, stored int) {
	if stored > 0 {
		b.lost = 0
		return
	}
	b.lost += lost
}
