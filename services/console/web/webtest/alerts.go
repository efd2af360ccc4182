package webtest

import (
	"context"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// alertStory is one of each state and severity, a hostile text among them.
func (f *Fake) alertStory() {
	now := f.now()
	state := func(rule, key, source string, severity alert.Severity, phase alert.Phase, ago time.Duration, summary string) alert.State {
		return alert.State{Condition: alert.Condition{Rule: rule, Key: key, Source: source, Severity: severity, Summary: summary}, State: phase, Since: now.Add(-ago), Began: now.Add(-ago - 5*time.Minute), Seen: now}
	}
	f.alerts = []alert.State{
		state("quarantine_count", "", "", alert.Warning, alert.Firing, 40*time.Minute, "133 records wait in quarantine, more than 100"),
		state("source_silent", "zendesk", "zendesk", alert.Critical, alert.Firing, 3*time.Hour, "no event of zendesk for 3 h; on a normal day at most 20 min"),
		state("drift", "1", "stripe", alert.Warning, alert.Pending, time.Minute, "stripe invoice.paid data.object.<script>alert(1)</script> vanished: read by public.churn_risk"),
		state("events_missing", "hubspot", "hubspot", alert.Warning, alert.Resolved, 26*time.Hour, "2 events of hubspot contacts are missing"),
	}
	f.silences = []alert.Silence{{ID: 1, Rule: "quarantine_count", Until: now.Add(90 * time.Minute), Comment: "A release of all of them runs", By: "user:kim@throughline.example", Created: now.Add(-time.Minute)}}
}

// TellNobody takes the receivers of alerts away.
func (f *Fake) TellNobody() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nobody = true
}

// Alerts gives what is alerted on.
func (f *Fake) Alerts(ctx context.Context, state string) (api.Alerts, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.Alerts{}, err
	}
	defer f.mu.Unlock()
	var states []alert.Phase
	switch state {
	case "":
		states = []alert.Phase{alert.Firing, alert.Pending}
	case "all":
	default:
		states = []alert.Phase{alert.Phase(state)}
	}
	receivers := []alert.Receiver{{Name: alert.Slack, Delivered: f.now().Add(-40 * time.Minute)}, {Name: alert.Webhook, FailingSince: f.now().Add(-2 * time.Hour), Error: "unexpected status code 404"}}
	if f.nobody {
		receivers = nil
	}
	return api.NewAlerts(f.alerts, f.silences, receivers, f.now().Add(-20*time.Second), f.now(), states...), nil
}

// Silences gives silences.
func (f *Fake) Silences(ctx context.Context, _ bool) ([]api.Silence, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	var list []api.Silence
	for _, q := range f.silences {
		list = append(list, api.NewSilence(q))
	}
	return list, nil
}

// SilenceAlerts makes one.
func (f *Fake) SilenceAlerts(ctx context.Context, n backend.NewSilence) (api.Silence, error) {
	if err := f.decide(ctx, "silenceAlerts", n.Rule+"/"+n.Source, access.Operator); err != nil {
		return api.Silence{}, err
	}
	defer f.mu.Unlock()
	q := alert.Silence{ID: int64(len(f.silences) + 1), Rule: n.Rule, Source: n.Source, Until: f.now().Add(n.For), Comment: n.Comment, By: access.ActorOf(ctx).Who, Created: f.now()}
	f.silences = append(f.silences, q)
	f.did(ctx, "silenceAlerts", n.Rule+"/"+n.Source, n.Comment, false)
	return api.NewSilence(q), nil
}

// UnsilenceAlerts ends one.
func (f *Fake) UnsilenceAlerts(ctx context.Context, id int64) error {
	if err := f.decide(ctx, "unsilenceAlerts", fmt.Sprint(id), access.Operator); err != nil {
		return err
	}
	defer f.mu.Unlock()
	for i, q := range f.silences {
		if q.ID == id {
			f.silences = append(f.silences[:i:i], f.silences[i+1:]...)
			f.did(ctx, "unsilenceAlerts", fmt.Sprint(id), "", false)
			return nil
		}
	}
	return notFound("silence")
}
