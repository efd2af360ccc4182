package accounts

import "time"

// InBatchesOf makes a Mover take so many events at once.
func (m *Mover) InBatchesOf(n int) *Mover {
	m.batch = n
	return m
}

// Waiting gives a Store that waits so long for other decisions.
func (s *Store) Waiting(most time.Duration) *Store {
	with := *s
	with.wait = most
	return &with
}
