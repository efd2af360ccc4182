package postgres

import "time"

// KeeperRuns asks whether any process is this database's keeper now.
const KeeperRuns = keeperRuns

// SetTimeout bounds a Writer's batches otherwise, for the tests.
func SetTimeout(w *Writer, d time.Duration) { w.timeout = d }
