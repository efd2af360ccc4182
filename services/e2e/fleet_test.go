package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/process"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// fleet is the services as they run in production: a process each, configured
// by environment.
type fleet struct {
	*place
	receiver, normalizer, sink, quarantine *child
	listen                                 string
	spool                                  string // the receiver's directory
}

// stable names an instance across restarts, so that it takes over at once.
const stable = "THROUGHLINE_KAFKA_INSTANCE_ID=e2e"

// newFleet prepares the processes. env is added to every one's.
func newFleet(t *testing.T, brokers []string, env ...string) *fleet {
	t.Helper()
	return newFleetAt(t, newPlace(t, brokers), env...)
}

func newFleetAt(t *testing.T, p *place, env ...string) *fleet {
	t.Helper()
	return newFleetOf(t, p, "", freeAddress(t), func(name string) string { return program(t, name) }, env...)
}

// newFleetOf is newFleetAt for programs of another version, which this tells from others in what is said; vendors post to
// listen.
func newFleetOf(t *testing.T, p *place, version, listen string, path func(service string) string, env ...string) *fleet {
	t.Helper()
	f := &fleet{place: p, listen: listen, spool: filepath.Join(t.TempDir(), "spool")}
	common := append([]string{
		"THROUGHLINE_KAFKA_BROKERS=" + strings.Join(p.brokers, ","),
		"THROUGHLINE_POSTGRES_URL=" + p.postgres,
		"THROUGHLINE_SCHEMA_REGISTRY_URL=" + p.registry,
		"THROUGHLINE_ADMIN_ADDR=127.0.0.1:0",
		"THROUGHLINE_LOG_LEVEL=info",
	}, env...)
	service := func(name string, more ...string) *child {
		return newChild(t, version+name, path(name), append(common[:len(common):len(common)], more...)...)
	}
	doors := []string{"THROUGHLINE_RECEIVER_LISTEN=" + f.listen, "THROUGHLINE_SPOOL_DIR=" + f.spool}
	for _, name := range catalog.Set().Names() {
		variable := "THROUGHLINE_" + strings.ToUpper(name)
		doors = append(doors, variable+"_SECRETS="+secretOf(name), fmt.Sprintf("%s_PUBLIC_URL=%s/webhooks/%s", variable, publicURL, name))
	}
	f.receiver = service("receiver", doors...)
	f.normalizer, f.sink, f.quarantine = service("normalizer"), service("sink"), service("quarantine")
	return f
}

func (f *fleet) url() string { return "http://" + f.listen }

func (f *fleet) all() []*child {
	return []*child{f.receiver, f.normalizer, f.sink, f.quarantine}
}

// startAll starts every service under a stable name.
func (f *fleet) startAll() {
	f.t.Helper()
	for _, p := range f.all() {
		p.start(stable)
	}
}

// awaitAll is await, but fails at once when a service ends by itself.
func (f *fleet) await(what string, done func() (bool, string)) {
	f.t.Helper()
	await(f.t, patience, what, func() (bool, string) {
		f.alive()
		return done()
	})
}

// alive fails the test when a service has ended that nobody ended.
func (f *fleet) alive() {
	f.t.Helper()
	for _, p := range f.all() {
		if why := p.died(); why != "" {
			require.Fail(f.t, why)
		}
	}
}

// freeAddress gives a port that a killed and restarted process can have again.
func freeAddress(t *testing.T) string {
	t.Helper()
	ports, err := process.FreePorts(1)
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}
