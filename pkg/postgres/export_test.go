package postgres

import "time"

// SetTimeout bounds a Writer's batches otherwise, for the tests.
func SetTimeout(w *Writer, d time.Duration) { w.timeout = d }
