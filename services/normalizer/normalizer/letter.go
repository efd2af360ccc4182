package normalizer

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/deadletter"
)

// deadLetter makes the record of the dead letter topic.
func (n *Normalizer) deadLetter(it *item, into *kgo.Record) error {
	rec, d := it.rec, deadletter.Described{
		Source: it.raw.Source, Tenant: cmp.Or(it.event.Tenant, it.raw.Tenant), Type: it.event.Type, SourceEventID: it.event.ID, References: it.event.References,
	}
	if it.index >= 0 {
		// A release publishes the element as a raw record of its own.
		element := *rec
		element.Key = it.key
		rec, d.Value, d.Index = &element, it.value, it.index
	}
	letter, err := deadletter.Make(n.encoder, rec, d, it.err)
	if err != nil {
		return err
	}
	*into = *letter
	return nil
}
