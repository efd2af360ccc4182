package normalizer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// countErased keeps, by source, how many events were passed over because what they refer to was erased: it is all that
// is left of them. A batch that comes again counts again. Without such an event it costs nothing.
func (n *Normalizer) countErased(ctx context.Context, items []item) error {
	bySource := map[string]int64{}
	for i := range items {
		if items[i].erased {
			bySource[items[i].raw.Source]++
		}
	}
	if len(bySource) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(bySource)) // one order for all processes
	counts := make([]int64, len(names))
	for i, name := range names {
		counts[i] = bySource[name]
	}
	_, err := n.deps.Pool.Exec(ctx, `INSERT INTO suppressed_events AS s (source, events) SELECT * FROM unnest($1::text[], $2::bigint[])
		ON CONFLICT (source) DO UPDATE SET events = s.events + excluded.events, last_at = now()`, names, counts)
	if err != nil {
		return postgres.Classify(fmt.Errorf("counting events of what was erased: %w", err))
	}
	return nil
}
