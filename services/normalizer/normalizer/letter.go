package normalizer

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/deadletter"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// deadLetter makes the record of the dead letter topic. refused is what the
// brokers refused of it so far.
func (n *Normalizer) deadLetter(it *item, refused []stream.Refusal, into *kgo.Record) error {
	rec, d := it.rec, deadletter.Described{
		Source: it.raw.Source, Tenant: cmp.Or(it.event.Tenant, it.raw.Tenant), Type: it.event.Type, SourceEventID: it.event.ID, References: it.event.References,
	}
	if it.index >= 0 {
		// A release publishes the element as a raw record of its own.
		element := *rec
		element.Key = it.key
		rec, d.Value, d.Index = &element, it.value, it.index
	}
	var letter *kgo.Record
	var err error
	switch len(refused) {
	case 0:
		letter, err = deadletter.Make(n.encoder, rec, d, it.err)
	case 1:
		letter, err = deadletter.MakeBare(n.encoder, rec, d, it.err, refused[0].Err)
	default:
		err = deadletter.Hopeless(refused[1].Err)
	}
	if err != nil {
		return err
	}
	*into = *letter
	return nil
}
