package accounts

// InBatchesOf makes a Mover take so many events at once.
func (m *Mover) InBatchesOf(n int) *Mover {
	m.batch = n
	return m
}
