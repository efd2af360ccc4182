package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// TestRegistryIsLost takes the schema registry away from running services, and then
// gives them one that was made anew, with other ids: events go on all the time, and
// none of them, nor a dead letter, becomes malformed.
func TestRegistryIsLost(t *testing.T) {
	t.Parallel()
	registry := streamtest.Unreliable(t)
	p := newPlace(t, streamtest.Embedded(t))
	p.registry, p.refresh = registry.URL, 50*time.Millisecond
	core, lines := observer.New(zapcore.InfoLevel)
	startEmbeddedAs(t, p, stream.Config{Brokers: p.brokers}, zap.New(core))
	stripeEvent := stripeEvents(t)
	sent := 0
	more := func() {
		for range 20 { // none has an account: they come as dead letters first
			p.publish("stripe", []byte(stripeEvent(fmt.Sprintf("registry-%d", sent), "")))
			sent++
		}
	}
	more()
	p.openBecomes(sent)

	registry.Fail(streamtest.Gone)
	await(t, patience, "readiness to tell of the registry", func() (bool, string) {
		state, _ := servicetest.Component(p.runtime, "schema-registry")
		return !state.Ready && state.Error != "", state.Error
	})
	more()
	p.openBecomes(sent)

	registry.MakeAnew()
	registry.Recover()
	await(t, patience, "the schemas to be registered again", func() (bool, string) {
		return lines.FilterMessageSnippet("the schema registry was made anew").Len() > 0, ""
	})
	servicetest.RequireReady(t, p.runtime, true)
	more()
	p.openBecomes(sent)
	p.link("stripe:customer:cus_bad", p.account("Acme", "acme.example"))
	p.onTimelinesBecome(sent)
	more()
	p.onTimelinesBecome(sent)
	p.openBecomes(0)
	require.Empty(t, p.strings("SELECT error FROM quarantine WHERE reason = 'malformed'"))
	servicetest.RequireFewLines(t, lines)
}
