package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Alerts is Reader's.
func (b *Service) Alerts(ctx context.Context, state string) (api.Alerts, error) {
	var states []alert.Phase
	switch state {
	case "":
		states = []alert.Phase{alert.Firing, alert.Pending}
	case "all":
	case string(alert.Firing), string(alert.Pending), string(alert.Resolved):
		states = []alert.Phase{alert.Phase(state)}
	default:
		return api.Alerts{}, malformed("state", "state is one of firing, pending, resolved and all")
	}
	var answer api.Alerts
	err := b.reading(ctx, func(tx pgx.Tx) error {
		store := b.alerts.In(tx)
		all, err := store.States(ctx)
		if err != nil {
			return err
		}
		silences, err := store.Silences(ctx, false)
		if err != nil {
			return err
		}
		receivers, err := store.Receivers(ctx)
		if err != nil {
			return err
		}
		evaluated, err := store.Evaluated(ctx)
		answer = api.NewAlerts(all, silences, receivers, evaluated, time.Now(), states...)
		return err
	})
	return answer, err
}

// Silences is Reader's.
func (b *Service) Silences(ctx context.Context, ended bool) ([]api.Silence, error) {
	list := []api.Silence{}
	err := b.reading(ctx, func(tx pgx.Tx) error {
		found, err := b.alerts.In(tx).Silences(ctx, ended)
		for _, q := range found {
			list = append(list, api.NewSilence(q))
		}
		return err
	})
	return list, err
}

// SilenceAlerts is Decider's.
func (b *Service) SilenceAlerts(ctx context.Context, n NewSilence) (api.Silence, error) {
	target := ""
	if texts("rule", n.Rule, "source", n.Source) == nil {
		target = strings.Trim(n.Rule+"/"+n.Source, "/")
	}
	return act(ctx, b, deed{role: access.Operator, action: "silenceAlerts", target: target, why: n.Comment, said: "comment"}, func(ctx context.Context, by access.Actor) (api.Silence, error) {
		switch err := texts("rule", n.Rule, "source", n.Source, "comment", n.Comment); {
		case err != nil:
			return api.Silence{}, err
		case n.Rule == "" && n.Source == "":
			return api.Silence{}, malformed("rule", "say which rule or which source, or both")
		case n.Rule != "" && !slices.Contains(alert.Names(), n.Rule):
			return api.Silence{}, malformed("rule", "there is no such rule: they are %s", strings.Join(alert.Names(), ", "))
		case n.Source != "" && !slices.Contains(b.o.Sources.Names(), n.Source):
			return api.Silence{}, malformed("source", "there is no such source: they are %s", strings.Join(b.o.Sources.Names(), ", "))
		case strings.TrimSpace(n.Comment) == "":
			return api.Silence{}, malformed("comment", "say why: it is shown with the silence")
		case n.For < time.Minute || n.For > alert.MaxSilence:
			return api.Silence{}, malformed("minutes", "a silence lasts for 1 to %d minutes", int(alert.MaxSilence.Minutes()))
		}
		made, err := b.alerts.Silence(ctx, n.Rule, n.Source, n.For, strings.TrimSpace(n.Comment), by.Who)
		return api.NewSilence(made), fieldOf("rule", err)
	})
}

// UnsilenceAlerts is Decider's.
func (b *Service) UnsilenceAlerts(ctx context.Context, id int64) error {
	_, err := act(ctx, b, deed{role: access.Operator, action: "unsilenceAlerts", target: fmt.Sprintf("silence %d", id)}, func(ctx context.Context, by access.Actor) (struct{}, error) {
		if id < 1 {
			return struct{}{}, problem.Field("silence", errors.New("a silence's number is 1 or above"))
		}
		return struct{}{}, b.alerts.Unsilence(ctx, id, by.Who)
	})
	return err
}
