package stage

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/service"
)

// schemaRegistry is the registry's name in /readyz.
const schemaRegistry = "schema-registry"

// NewEncoder is event.NewEncoder for our topics. It waits for a registry that does
// not answer, or that a person must set right, and says so in /readyz and once in the
// log. An error is Permanent, or ctx's end.
func (d Deps) NewEncoder(ctx context.Context) (encoder *event.Encoder, err error) {
	err = d.awaitRegistry(ctx, func(ctx context.Context) (err error) {
		encoder, err = event.NewEncoder(ctx, d.Registry, d.Kafka.Names().AccountEvents(), d.Kafka.Names().DeadLetters())
		return err
	})
	return encoder, err
}

// NewChangeEncoder is event.NewChangeEncoder as NewEncoder is event.NewEncoder.
func (d Deps) NewChangeEncoder(ctx context.Context) (encoder *event.ChangeEncoder, err error) {
	err = d.awaitRegistry(ctx, func(ctx context.Context) (err error) {
		encoder, err = event.NewChangeEncoder(ctx, d.Registry, d.Kafka.Names().AccountChanges())
		return err
	})
	return encoder, err
}

func (d Deps) awaitRegistry(ctx context.Context, work func(context.Context) error) error {
	told := d.Told(schemaRegistry)
	told.State = func(err error) {
		if err == nil { // a process is not ready before it has parts
			d.Runtime.Health.Remove(schemaRegistry)
			return
		}
		d.Runtime.Health.Set(schemaRegistry, err)
	}
	var final error
	err := retry.Forever(ctx, retry.Policy{First: 200 * time.Millisecond, Most: 5 * time.Second}, "finding the schemas", told, func(ctx context.Context) error {
		err := work(ctx)
		if fault.IsPermanent(err) {
			final, err = err, nil
		}
		return err
	})
	if final != nil {
		return final
	}
	return err
}

// KeepSchemas gives the component that looks for a part's schemas now and then. A
// registry that was made anew gets them again, and what is written from then on has
// its ids; without a registry all goes on with the ids in use.
func (d Deps) KeepSchemas(part string, refresh ...func(context.Context) (changed bool, err error)) service.Component {
	return service.Component{Name: part + "-schemas", Run: func(ctx context.Context) error {
		told := d.Told(schemaRegistry)
		every := d.Registry.Refresh()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			changed, err := refreshAll(ctx, refresh)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				told.Failed("looking for the schemas", err, every)
			default:
				told.Succeeded("looking for the schemas")
			}
			if changed {
				d.Runtime.Log.Warn("the schema registry was made anew: what is written from now on has its new ids; what was written before can be read by services with these schemas only")
			}
		}
	}}
}

func refreshAll(ctx context.Context, refresh []func(context.Context) (bool, error)) (changed bool, err error) {
	for _, one := range refresh {
		c, err := one(ctx)
		changed = changed || c
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}
