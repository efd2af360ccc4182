package stage

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/vendors"
)

// ledger has events a, b and c of one account, sent and acknowledged one after the other, and u, which is nobody's.
func ledger() (p *promises, account uuid.UUID) {
	p, account = newPromises(4), uuid.New()
	p.began = time.Now().Add(-time.Minute)
	for i, id := range []string{"a", "b", "c", "u"} {
		s := traffic.Shipment{Delivery: vendors.Delivery{Source: "stripe"}, Facts: []traffic.Fact{{Type: "t", ID: id, Account: account}}}
		if id == "u" {
			s.Facts[0].Account = uuid.Nil
		}
		at := p.send(&s)
		p.ack(at)
		e := &p.all[at[0]]
		e.sent, e.acked = time.Duration(10*i+1)*time.Second, time.Duration(10*i+2)*time.Second
	}
	return p, account
}

// A verdict tells each thing that can be wrong.
func TestVerdict(t *testing.T) {
	t.Parallel()
	type place struct {
		id      string
		account uuid.UUID
	}
	_, account := ledger()
	whole := []place{{"a", account}, {"b", account}, {"c", account}, {"u", uuid.Nil}}
	for name, c := range map[string]struct {
		places []place
		want   Verdict
	}{
		"nothing":                {whole, Verdict{OnTimelines: 3, Quarantined: 1}},
		"lost":                   {whole[1:], Verdict{OnTimelines: 2, Quarantined: 1, Lost: 1}},
		"lost from quarantine":   {whole[:3], Verdict{OnTimelines: 3, Lost: 1}},
		"doubled":                {append(whole[:4:4], whole[1]), Verdict{OnTimelines: 4, Quarantined: 1, Doubled: 1}},
		"doubled in quarantine":  {append(whole[:4:4], place{"a", uuid.Nil}), Verdict{OnTimelines: 3, Quarantined: 2, Doubled: 1, Moved: 1}},
		"on another's timeline":  {append(whole[1:4:4], place{"a", uuid.New()}), Verdict{OnTimelines: 3, Quarantined: 1, Moved: 1}},
		"nobody's on a timeline": {append(whole[:3:3], place{"u", account}), Verdict{OnTimelines: 4, Moved: 1}},
		"a stranger":             {append(whole[:4:4], place{"x", account}), Verdict{OnTimelines: 4, Quarantined: 1, Strangers: 1}},
	} {
		p, own := ledger()
		var v Verdict
		for _, at := range c.places {
			if at.account == account {
				at.account = own
			}
			p.find(&v, "stripe", at.id, at.account)
		}
		p.missing(&v)
		require.Equal(t, name == "nothing", v.Kept(), name)
		require.Equal(t, v.Kept(), len(v.Examples) == 0, name)
		v.Examples = nil
		require.Equal(t, c.want, v, name)
	}
}

// What was acknowledged before another was sent stands before it; what comes again later is not looked at.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		order      []string
		disordered int
	}{
		{[]string{"a", "b", "c"}, 0},
		{[]string{"a", "b", "a", "c", "a"}, 0},
		{[]string{"b", "a", "c"}, 1},
		{[]string{"c", "a", "b"}, 2},
		{[]string{"c", "x"}, 0},
	} {
		p, _ := ledger()
		var v Verdict
		o := p.order()
		for _, id := range c.order {
			o.next(&v, "stripe", id)
		}
		require.Equal(t, c.disordered, v.Disordered, c.order)
	}
	// Two that were under way at once may stand in either order.
	p, _ := ledger()
	p.all[0].acked = p.all[1].sent + 1
	var v Verdict
	o := p.order()
	o.next(&v, "stripe", "b")
	o.next(&v, "stripe", "a")
	require.Zero(t, v.Disordered)
	require.Equal(t, 2, v.Ordered)
}

// An event that was not acknowledged is neither lost when it is not there, nor a stranger when it is.
func TestAnEventWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{false, true} {
		p, account := ledger()
		p.all[2].acked = 0
		var v Verdict
		for _, id := range []string{"a", "b"} {
			p.find(&v, "stripe", id, account)
		}
		p.find(&v, "stripe", "u", uuid.Nil)
		if there {
			p.find(&v, "stripe", "c", account)
		}
		p.missing(&v)
		require.True(t, v.Kept(), v)
	}
}

// A stretch has the events that were acknowledged in it, and their times, whenever they were seen.
func TestStretches(t *testing.T) {
	t.Parallel()
	p, _ := ledger()
	p.all[0].shown, p.all[1].shown, p.all[2].shown = 3*time.Second, 25*time.Second, 21*time.Second // c before its answer was read
	all := p.stretches([]post{{time.Second, 5 * time.Millisecond}, {12 * time.Second, 7 * time.Millisecond}}, 10*time.Second, 25*time.Second)
	require.Equal(t, []Stretch{
		{Seconds: 10, Acknowledged: 1, Visible: 1, Answered: Latency{5, 5, 5, 5}, Shown: Latency{1000, 1000, 1000, 1000}},
		{Seconds: 20, Acknowledged: 1, Backlog: 1, Answered: Latency{7, 7, 7, 7}, Shown: Latency{13000, 13000, 13000, 13000}},
		{Seconds: 25, Acknowledged: 2, Visible: 2, Backlog: 1, Shown: Latency{}},
	}, all)
}
