//go:build prove

package e2e

import (
	"os"
	"path/filepath"
	"slices"
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
