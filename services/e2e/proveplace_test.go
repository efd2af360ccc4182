//go:build prove

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// olderFaults are of an older version of services beside this one: .ci/upgrade builds it (`make prove OLD=REVISION`).
func (p *prover) olderFaults() []faultCase {
	dir := os.Getenv(oldPrograms)
	if dir == "" {
		return nil
	}
	var all []faultCase
	for _, c := range []*child{p.normalizer, p.sink, p.quarantine} {
		all = append(all, faultCase{c.name + ": an older version beside it", 10 * time.Second, func(p *prover) func() {
			old := newChild(p.t, "old-"+c.name, filepath.Join(dir, c.name), slices.Clone(c.env)...)
			old.env = append(old.env, "THROUGHLINE_ADMIN_ADDR=127.0.0.1:0")
			old.start("THROUGHLINE_KAFKA_INSTANCE_ID=older")
			return func() {
				require.Empty(p.t, old.died())
				old.kill()
			}
		}})
	}
	return all
}

func (p *prover) poolerFaults() []faultCase {
	if *poolerFlag == "" {
		return nil
	}
	each := func(do func(b *postgrestest.Bouncer)) {
		for _, b := range p.poolers {
			do(b)
		}
	}
	return []faultCase{
		{"pooler: kill -9", 5 * time.Second, func(*prover) func() {
			each((*postgrestest.Bouncer).Kill)
			return func() { each((*postgrestest.Bouncer).Start) }
		}},
		{"pooler: frozen (SIGSTOP)", 15 * time.Second, func(*prover) func() {
			each((*postgrestest.Bouncer).Freeze)
			return func() { each((*postgrestest.Bouncer).Thaw) }
		}},
	}
}

// diskFaults are there where this machine lets us mount (prover.disk).
func (p *prover) diskFaults() (all []faultCase) {
	if p.spool != nil {
		all = append(all, faultCase{"receiver: its spool's disk is really full, and the network to all brokers half-open", 12 * time.Second, func(p *prover) func() {
			for _, proxy := range p.brokers {
				proxy.Lose(true)
			}
			p.hold(3 * time.Second)
			p.spool.fill(p.t)
			return func() {
				p.spool.empty(p.t)
				for _, proxy := range p.brokers {
					proxy.Lose(false)
					proxy.Cut()
				}
			}
		}})
	}
	if p.disks[p.primary] != nil && p.disks[p.standby] != nil { // each is the primary at times
		all = append(all, faultCase{"Postgres: its disk is really full", 10 * time.Second, func(p *prover) func() {
			full := p.primary
			p.disks[full].fill(p.t)
			return func() {
				p.disks[full].empty(p.t)
				full.Revive()
			}
		}})
	}
	return all
}

// clocks lets clocks jump while their programs run: of those that ask the C library what time it is.
type clocks struct{ library, postgres string }

// newClocks finds libfaketime; without it no clock jumps, and library is "".
func newClocks(t *testing.T) *clocks {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	require.NoError(t, err)
	if len(found) == 0 {
		return &clocks{}
	}
	dir, err := os.MkdirTemp("", "throughline-clocks-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // Postgres's user reads it
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	c := &clocks{library: found[0], postgres: filepath.Join(dir, "postgres")}
	c.set(t, c.postgres, "+0")
	return c
}

// ofPostgres is the environment of a Postgres whose clock can jump.
func (c *clocks) ofPostgres() []string {
	if c.library == "" {
		return nil
	}
	// What measures how long something takes goes on as ever: no machine's jumps.
	return []string{"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.postgres, "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"}
}

// set lets a clock jump: "+3600" seconds.
func (c *clocks) set(t testing.TB, file, by string) {
	t.Helper()
	next := file + ".next"
	require.NoError(t, os.WriteFile(next, []byte(by+"\n"), 0o644)) // as above
	require.NoError(t, os.Rename(next, file))
}

func (p *prover) clockFaults() []faultCase {
	if p.clocks.library == "" {
		return nil
	}
	jump := func(file, by string) func(*prover) func() {
		return func(p *prover) func() {
			p.clocks.set(p.t, file, by)
			return func() { p.clocks.set(p.t, file, "+0") }
		}
	}
	return []faultCase{
		{"Postgres: its clock is an hour ahead, and set right", 10 * time.Second, jump(p.clocks.postgres, "+3600")},
		{"Postgres: its clock is an hour behind, and set right", 10 * time.Second, jump(p.clocks.postgres, "-3600")},
	}
}
