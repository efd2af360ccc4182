package normalizer

import (
	"context"

	"github.com/throughline-dev/throughline/pkg/resolve"
)

// mentionsErased marks as erased what has the e-mail address of an erased person in its text, so that it is published
// for nobody. It costs one query a batch, and only while such a person is erased.
func (n *Normalizer) mentionsErased(ctx context.Context, ahead *resolve.Ahead, items []item, resolutions []resolve.Resolution) error {
	if !ahead.Mentions() {
		return nil
	}
	var places []int
	by, err := resolve.Suppressed(ctx, n.deps.Pool, func() (carried []resolve.Carried) {
		for i := range items {
			if resolutions[i].Erased || items[i].err != nil { // what cannot be read may be of many people
				continue
			}
			addresses := append(resolve.Addresses(items[i].value), resolve.Addresses([]byte(items[i].raw.Tenant))...)
			if len(addresses) > 0 {
				places = append(places, i)
				carried = append(carried, resolve.Carried{All: addresses})
			}
		}
		return carried
	})
	if err != nil {
		return err
	}
	for i, decision := range by {
		if decision != 0 {
			resolutions[places[i]].Erased = true
		}
	}
	return nil
}
