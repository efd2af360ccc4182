package normalizer

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/deadletter"
)

// deadLetter makes the record of the dead letter topic.
func (n *Normalizer) deadLetter(it *item, into *kgo.Record) error {
	letter, err := deadletter.Make(n.encoder, it.rec, deadletter.Described{
		Source: it.raw.Source, Tenant: cmp.Or(it.event.Tenant, it.raw.Tenant), Type: it.event.Type, SourceEventID: it.event.ID, References: it.event.References,
	}, it.err)
	if err != nil {
		return err
	}
	*into = *letter
	return nil
}
