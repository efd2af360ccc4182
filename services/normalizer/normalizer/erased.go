package normalizer

import (
	"context"

	"github.com/throughline-dev/throughline/pkg/resolve"
)

// countErased keeps, by source, how many events were passed over because what they refer to was erased. A batch that comes
// again counts again.
func (n *Normalizer) countErased(ctx context.Context, items []item) error {
	bySource := map[string]int64{}
	for i := range items {
		if items[i].erased {
			bySource[items[i].raw.Source]++
		}
	}
	return resolve.CountSuppressed(ctx, n.deps.Pool, bySource)
}
