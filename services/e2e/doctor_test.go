package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/doctor"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// diagnose runs `throughline doctor` and gives its findings by check, and its exit code.
func (p *place) diagnose(args ...string) (map[string]doctor.Finding, int) {
	p.t.Helper()
	env := map[string]string{
		"THROUGHLINE_POSTGRES_URL": p.postgres, "THROUGHLINE_KAFKA_BROKERS": strings.Join(p.brokers, ","), "THROUGHLINE_SCHEMA_REGISTRY_URL": p.registry,
	}
	var out, errs bytes.Buffer
	code := cli.Run(p.t.Context(), append([]string{"doctor", "--json"}, args...), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
	findings := map[string]doctor.Finding{}
	for line := range strings.Lines(out.String()) {
		var f doctor.Finding
		require.NoError(p.t, json.Unmarshal([]byte(line), &f))
		findings[f.Check] = f
	}
	return findings, code
}

// notOK gives what is wrong, or was not checked, of these findings.
func notOK(findings map[string]doctor.Finding) string {
	var wrong []string
	for check, f := range findings {
		if f.State != doctor.OK {
			wrong = append(wrong, fmt.Sprintf("%s: %s: %s", check, f.State, f.Found))
		}
	}
	return strings.Join(wrong, "\n")
}

// A system that works is healthy in every check.
func TestDoctorFindsAHealthySystemHealthy(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Kafka(t, 1).Brokers())
	p.link("stripe:customer:cus_bad", p.account("Acme", "acme.example"))
	startEmbedded(t, p)
	events := stripeEvents(t)
	for n := range 20 {
		p.publish("stripe", []byte(events(fmt.Sprint(n), "")))
	}
	p.onTimelinesBecome(20)
	await(t, patience, "the doctor to find nothing wrong", func() (bool, string) {
		findings, code := p.diagnose()
		require.Len(t, findings, len(doctor.Checks()))
		require.Equal(t, doctor.NotChecked, findings["service"].State, "no admin port was given")
		delete(findings, "service")
		require.Equal(t, doctor.NotChecked, findings["lag.drift"].State, "no drift runs here")
		delete(findings, "lag.drift")
		delete(findings, "postgres.vacuum") // the tests' server has no autovacuum, and the doctor says so
		wrong := notOK(findings)
		require.Equal(t, wrong == "" || !strings.Contains(wrong, ": failed: "), code == 0)
		return wrong == "", wrong
	})
}
