package quarantine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	quarantineservice "github.com/throughline-dev/throughline/services/quarantine/quarantine"
)

// disagree runs a normalizer that knows links only and a quarantine that knows
// every rule, which sweeps all the time.
func (w *world) disagree(hold quarantine.HoldOff) {
	w.t.Helper()
	w.runtime = service.NewRuntime(service.Options{Name: "quarantine", Log: zaptest.NewLogger(w.t)})
	d := stage.Deps{Kafka: w.kafka, Pool: w.pool, Registry: w.events, Sources: catalog.Set(), Runtime: w.runtime}
	q, err := quarantineservice.New(w.t.Context(), d, quarantineservice.Options{HoldOff: hold,
		Tuning: quarantineservice.Tuning{Batch: stage.Batch{Records: 500}, SweepEvery: 10 * time.Millisecond, StuckAfter: time.Hour}})
	require.NoError(w.t, err)
	n, err := normalizer.New(w.t.Context(), d, normalizer.Options{Resolve: resolve.Config{RuleList: []string{resolve.RuleLinks}}})
	require.NoError(w.t, err)
	servicetest.Run(w.t, d.Group(q, n).Run)
}

// emailed is an event that only the e-mail rule finds an account for.
var emailed = []byte(`{"id":"evt_1","object":"event","type":"invoice.paid","created":1762074000,"livemode":true,` +
	`"data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1","customer_email":"kim@acme-robotics.example"}}}`)

// arrive publishes it to its raw topic.
func (w *world) arrive(value []byte) {
	w.t.Helper()
	require.NoError(w.t, stream.NewPublisher(w.client).Publish(context.Background(), &kgo.Record{Topic: stream.RawTopic("stripe"), Key: []byte("k"), Value: value}))
}

func (w *world) one() quarantine.Detail {
	w.t.Helper()
	list, err := w.store.List(context.Background(), quarantine.Filter{})
	require.NoError(w.t, err)
	require.Len(w.t, list, 1)
	detail, err := w.store.Show(context.Background(), list[0].ID)
	require.NoError(w.t, err)
	return detail
}

// Two services with different rules sent a record round at full speed for ever,
// each time with two rows of decisions.
func TestServicesWithDifferentRulesMakeNoLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	acme, err := w.links.AddAccount(t.Context(), accounts.Account{Name: "Acme", Domain: "acme-robotics.example"}, "test")
	require.NoError(t, err)
	w.disagree(quarantine.HoldOff{First: 100 * time.Millisecond, Most: time.Hour})
	w.arrive(emailed)
	// 100 + 200 + 400 ms of holding off, at least: about 70 sweeps, and four releases.
	began := time.Now()
	var d quarantine.Detail
	require.Eventually(t, func() bool {
		if len(w.replays(emailed)) < 5 {
			return false
		}
		d = w.one()
		return d.Status == quarantine.Open && d.HeldUntil != nil && d.Attempts >= 5
	}, patience, 5*time.Millisecond, "it is tried again, later each time")
	require.Greater(t, time.Since(began), 700*time.Millisecond)
	releases := int(d.Attempts) - 1
	require.Len(t, d.Decisions, 2*releases, "released, and back, each time")
	require.GreaterOrEqual(t, d.HeldUntil.Sub(d.StatusAt), 70*time.Millisecond<<(releases-1), "held off twice as long each time")
	require.Contains(t, d.Decisions[0].Note, "rule email")

	// A person and a new link are not held off.
	published := len(w.replays(emailed))
	_, err = w.store.Release(t.Context(), quarantine.Filter{IDs: []int64{d.ID}}, "ada", "try", false)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(w.replays(emailed)) > published }, patience, time.Millisecond)
	require.NoError(t, w.link(1, acme.ID))
	w.awaitEvent(t)
}

// awaitEvent waits for the first record of account-events.
func (w *world) awaitEvent(t *testing.T) {
	t.Helper()
	reader, err := stream.NewClient(w.kafka, stream.Deps{Name: "events"}, kgo.ConsumeTopics(stream.AccountEvents), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NotEmpty(t, reader.PollFetches(ctx).Records())
}

// What is held off is the ruling that failed: a link that comes while the record
// is on its way, so that its message finds nothing that waits, is not missed.
func TestALinkMadeMeanwhileIsNotHeldOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, err := w.links.AddAccount(t.Context(), accounts.Account{Name: "Acme", Domain: "acme-robotics.example"}, "test")
	require.NoError(t, err)
	w.disagree(quarantine.HoldOff{First: time.Hour, Most: time.Hour})
	w.arrive(emailed)
	require.Eventually(t, func() bool {
		var held int
		err := w.pool.QueryRow(t.Context(), "SELECT count(*) FROM quarantine WHERE held_until > now()").Scan(&held)
		return err == nil && held == 1
	}, patience, 5*time.Millisecond)
	// As if no message had come: the trigger that announces links is off.
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), "ALTER TABLE account_links DISABLE TRIGGER account_links_inserted")
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO account_links (source, kind, external_id, account_id, learned, created_by) VALUES ('stripe', 'customer', 'cus_1', $1, 'operator', 'test')`, acme.ID)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	w.awaitEvent(t)
}
