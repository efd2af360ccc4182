package doctor

import (
	"cmp"
	"context"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/stream"
)

const registryTimeout = 6 * time.Second

func registryChecks() []Check {
	return []Check{
		{"registry.reachable", "the schema registry answers", func(e *examination, ctx context.Context, _ string) Finding {
			_, f := e.subjects(ctx)
			return f
		}},
		{"registry.schemas", "the schema registry has the schemas that the services write with", func(e *examination, ctx context.Context, _ string) Finding {
			missing, f := e.subjects(ctx)
			switch {
			case e.Registry == nil:
				return f
			case f.State != OK:
				return notChecked("", "registry.reachable failed")
			case len(missing) > 0:
				return failed("start the services with a user that may write there; they register what they need", "not registered, in this version: %s", some(missing))
			}
			return ok("all schemas are registered")
		}},
	}
}

// subjects gives the subjects whose schema is not registered, and whether the registry answers.
func (e *examination) subjects(ctx context.Context) ([]string, Finding) {
	if e.Registry == nil {
		return nil, unset("THROUGHLINE_SCHEMA_REGISTRY_URL")
	}
	registry, err := e.registry()
	if err != nil {
		return nil, failed("check THROUGHLINE_SCHEMA_REGISTRY_URL", "%v", err)
	}
	var names stream.Names
	if e.Kafka != nil {
		names = e.Kafka.Names()
	}
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	missing, err := registry.Missing(ctx, event.Topics{Events: names.AccountEvents(), Letters: names.DeadLetters(), Changes: names.AccountChanges()})
	if err != nil {
		return nil, failed(cmp.Or(fault.Advice(err), "check that the registry of THROUGHLINE_SCHEMA_REGISTRY_URL runs and is reachable from here"), "%v", err)
	}
	return missing, ok("%v answers", e.Registry.URL)
}
