//go:build upgrade

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// TestUpgradeFrom replaces the services of an older version by today's one by one, then today's by the older ones, then
// again, while vendors go on sending: each event that was acknowledged is on exactly one timeline, or in quarantine.
func TestUpgradeFrom(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(oldPrograms)
	require.NotEmpty(t, dir, "run it by `make upgrade-test FROM=REVISION`")
	oldProgram := func(name string) string { return filepath.Join(dir, name) }
	random := newRand(t)
	brokers := streamtest.Kafka(t, 1).Brokers()
	url := postgrestest.EmptyURL(t)
	command := func(program string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "THROUGHLINE_POSTGRES_URL=" + url, "THROUGHLINE_KAFKA_BROKERS=" + strings.Join(brokers, ",")}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v: %s", program, args, out)
		t.Logf("%s %v: %s", filepath.Base(program), args, strings.TrimSpace(string(out)))
	}
	command(oldProgram("throughline"), "migrate")
	command(oldProgram("throughline"), "topics", "apply", "--partitions", "3")
	p := newPlaceOn(t, brokers, url)
	old := newFleetOf(t, p, "old-", freeAddress(t), oldProgram)
	today := newFleetOf(t, p, "new-", old.listen, func(name string) string { return program(t, name) })
	old.startAll()
	l := startLoad(t, p, old.url(), random)
	old.works(l, "with the older version")

	command(program(t, "throughline"), "migrate")
	old.works(l, "with the older version on today's schema")
	command(program(t, "throughline"), "topics", "apply")
	old.rollTo(today, l)
	today.rollTo(old, l)
	l.linkLater()
	old.rollTo(today, l)
	l.end()
	l.compare()
	t.Logf("%d events were acknowledged, %d are on timelines, %d in quarantine", l.promises(), p.onTimelines(), p.open())
}

// rollTo starts another version's services beside this one's, and ends this one's, one by one, downstream first.
func (f *fleet) rollTo(to *fleet, l *load) {
	f.t.Helper()
	other := to.all()
	for i, c := range f.all() {
		if c == f.receiver {
			continue
		}
		other[i].start("THROUGHLINE_KAFKA_INSTANCE_ID=" + other[i].name)
		f.works(l, "with "+other[i].name+" beside "+c.name)
		c.interrupt()
		to.alive()
		f.works(l, "after "+c.name+" was replaced by "+other[i].name)
	}
	f.receiver.interrupt() // both listen at the address that the vendors have
	to.receiver.start()
	to.works(l, "after "+f.receiver.name+" was replaced by "+to.receiver.name)
}
