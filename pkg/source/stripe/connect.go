package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the webhook endpoints API. Sources: docs.stripe.com/api/webhook_endpoints
// (the secret is in the answer to the creation only, the API version is chosen then and
// never after, "*" is every type but those that want to be chosen), /api/events/list
// (delivery_success), stripe-go v85 webhookendpoint.go. That an endpoint for connected
// accounts is known by its application is not confirmed.
const (
	endpointsPath     = "/v1/webhook_endpoints"
	pageEndpoints     = 100
	mostEndpointPages = 20
	everyType         = "*"
)

var _ source.Subscriber = stripe{}

// Steps implements source.Connector.
func (stripe) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "Workbench (or Developers) → Webhooks → Add destination, Events on Your account: choose all events, then Webhook endpoint with this address.", Paste: address},
		{Text: "If you have connected accounts: a second destination to the same address for Events on Connected accounts."},
		{Text: "Open each destination, reveal its signing secret (whsec_…), and give it to the receiver: THROUGHLINE_STRIPE_SECRETS, several separated by commas."},
	}
}

// Look implements source.Subscriber: all endpoints, and whether there are events that
// one of them has not taken.
func (stripe) Look(ctx context.Context, api source.Doer, address string) (source.Subscriptions, error) {
	all, err := endpoints(ctx, api)
	if err != nil {
		return source.Subscriptions{}, err
	}
	var s source.Subscriptions
	for _, e := range all {
		s.Test = s.Test || e.test
		switch {
		case sameAddress(e.url, address):
			s.Have = append(s.Have, source.Subscription{ID: e.id, Enabled: e.enabled, Types: e.types})
			if e.version != "" && e.version < apiVersion {
				s.Notes = append(s.Notes, fmt.Sprintf("%s sends events in API version %s, which is read here as well as newer ones; Stripe sets the version when an endpoint is made and never after.", e.id, e.version))
			}
		case nearAddress(e.url, address):
			s.Notes = append(s.Notes, fmt.Sprintf("%s sends to %s, which is not this address: change or delete it at Stripe if it should have been.", e.id, shown(e.url)))
		}
	}
	s.Changes = changes(all, address)
	s.Notes = append(s.Notes, duplicates(all, address)...)
	undelivered, err := newestUndelivered(ctx, api)
	switch {
	case fault.ReasonOf(err) == fault.Forbidden:
		s.Notes = append(s.Notes, "The key may not read events, so that it is not known whether deliveries fail.")
	case err != nil:
		return source.Subscriptions{}, err
	case undelivered.id != "":
		s.Test = s.Test || undelivered.test
		s.Notes = append(s.Notes, fmt.Sprintf("An endpoint of this Stripe account has not taken %s (%s, of %s), or not yet: Workbench → Webhooks shows each attempt.",
			undelivered.id, undelivered.typ, undelivered.at.Format(time.RFC3339)))
	}
	return s, nil
}

// Change implements source.Subscriber. A change of an endpoint enables it, too.
func (stripe) Change(ctx context.Context, api source.Doer, address string, change source.SubscriptionChange) (string, error) {
	form, path := url.Values{"enabled_events[]": change.Types}, endpointsPath
	if change.ID == "" {
		form.Set("url", address)
		form.Set("api_version", apiVersion)
		form.Set("description", "Throughline")
	} else {
		form.Set("disabled", "false")
		path += "/" + url.PathEscape(change.ID)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fault.Permanent(fault.Malformed, fmt.Errorf("changing an endpoint: %w", err))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	e, err := asked(api, r, "write")
	if err != nil {
		return "", err
	}
	made, err := readEndpoint(e)
	switch secret := e.Get("secret").Text(); {
	case err != nil:
		return "", err
	case change.ID != "":
		return "", nil
	case secret == "":
		return "", fault.Permanent(fault.Malformed, fmt.Errorf("the endpoint %s was made, but the answer has no secret: reveal it at Stripe", made.id))
	default:
		return secret, nil
	}
}

// endpoint is one of Stripe's webhook endpoints.
type endpoint struct {
	id, url, version string
	application      string // of an endpoint for connected accounts
	types            []string
	enabled, test    bool
}

// endpoints gives all of the account, the newest first.
func endpoints(ctx context.Context, api source.Doer) (all []endpoint, err error) {
	ask := url.Values{"limit": {strconv.Itoa(pageEndpoints)}}
	for range mostEndpointPages {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpointsPath+"?"+ask.Encode(), nil)
		if err != nil {
			return nil, fault.Permanent(fault.Malformed, fmt.Errorf("asking for the endpoints: %w", err))
		}
		top, err := asked(api, r, "read")
		if err != nil {
			return nil, err
		}
		data, ok := stripe{}.List(top)
		if !ok {
			return nil, lie(errors.New("the answer is no list of endpoints"))
		}
		for _, element := range data.Elements() {
			e, err := readEndpoint(element)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		if !top.Get("has_more").Bool() {
			return all, nil
		}
		if len(all) == 0 || all[len(all)-1].id == ask.Get("starting_after") {
			return nil, lie(errors.New("the list of endpoints says that there are more, and does not go on"))
		}
		ask.Set("starting_after", all[len(all)-1].id)
	}
	return nil, fault.Permanent(fault.Malformed, fmt.Errorf("the list of endpoints has not ended after %d pages", mostEndpointPages))
}

// asked makes a request and gives the answer's top value. right is what the key needs.
func asked(api source.Doer, r *http.Request, right string) (rawjson.Value, error) {
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return rawjson.Value{}, err
	}
	body, err := source.ReadAnswer(resp)
	if err != nil {
		err = refused(body, resp.StatusCode, false, err)
		if fault.ReasonOf(err) == fault.Forbidden {
			return rawjson.Value{}, fault.Advise(err, "give the restricted key the permission Webhook Endpoints: "+right)
		}
		return rawjson.Value{}, err
	}
	top, err := new(rawjson.Doc).ParseBody(body, 0)
	if err != nil {
		return rawjson.Value{}, lie(fmt.Errorf("the answer cannot be read: %w", err))
	}
	return top, nil
}

func readEndpoint(v rawjson.Value) (endpoint, error) {
	status := v.Get("status").Text()
	e := endpoint{
		id: v.Get("id").Text(), url: v.Get("url").Text(), version: v.Get("api_version").Text(), application: v.Get("application").Text(),
		enabled: status == "enabled", test: v.Get("livemode").Kind() == rawjson.Bool && !v.Get("livemode").Bool(),
	}
	for _, element := range v.Get("enabled_events").Elements() {
		e.types = append(e.types, element.Text())
	}
	if !v.Get("object").Is("webhook_endpoint") || e.id == "" || status != "enabled" && status != "disabled" {
		return endpoint{}, lie(errors.New("the answer has an element that is no webhook endpoint"))
	}
	return e, nil
}

// expected are the types that tell a customer's story: those of the profile that an
// endpoint can send and that are somebody's.
func expected() (vendor []string) {
	for _, t := range types() {
		if !strings.HasPrefix(t.Vendor, thinPrefix) && t.Vendor != "payout.paid" && t.Vendor != "balance.available" {
			vendor = append(vendor, t.Vendor)
		}
	}
	return vendor
}

// changes gives a new endpoint where there is none, and else at most one change for
// each Connect application and for the account itself: of the endpoint that is enabled,
// or of the newest.
func changes(all []endpoint, address string) (list []source.SubscriptionChange) {
	var best []endpoint
	for _, e := range all {
		if !sameAddress(e.url, address) {
			continue
		}
		at := slices.IndexFunc(best, func(b endpoint) bool { return b.application == e.application })
		switch {
		case at < 0:
			best = append(best, e)
		case e.enabled && !best[at].enabled:
			best[at] = e
		}
	}
	if len(best) == 0 {
		return []source.SubscriptionChange{{Text: "create an endpoint for all types", Types: []string{everyType}, Secret: true}}
	}
	for _, e := range best {
		var missing, does []string
		for _, t := range expected() {
			if !slices.Contains(e.types, everyType) && !slices.Contains(e.types, t) {
				missing = append(missing, t)
			}
		}
		if !e.enabled {
			does = append(does, fmt.Sprintf("enable %s, which is disabled", e.id))
		}
		if len(missing) > 0 {
			does = append(does, fmt.Sprintf("add to %s the types %s", e.id, strings.Join(missing, ", ")))
		}
		if len(does) > 0 {
			list = append(list, source.SubscriptionChange{ID: e.id, Text: strings.Join(does, ", and "), Types: slices.Concat(e.types, missing)})
		}
	}
	return list
}

// duplicates says of endpoints that send the same events to the same address.
func duplicates(all []endpoint, address string) (notes []string) {
	by := map[string][]string{}
	for _, e := range all {
		if sameAddress(e.url, address) {
			by[e.application] = append(by[e.application], e.id)
		}
	}
	for _, ids := range by {
		if len(ids) > 1 {
			notes = append(notes, strings.Join(ids, " and ")+" have the same address: each has a secret of its own, which THROUGHLINE_STRIPE_SECRETS needs while it sends. "+
				"What comes twice is on the timeline once; delete at Stripe what is left over, unless one is for connected accounts.")
		}
	}
	slices.Sort(notes)
	return notes
}

// undelivered is an event that an endpoint has not answered with 2xx.
type undelivered struct {
	id, typ string
	at      time.Time
	test    bool
}

func newestUndelivered(ctx context.Context, api source.Doer) (undelivered, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/v1/events?delivery_success=false&limit=1", nil)
	if err != nil {
		return undelivered{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking for undelivered events: %w", err))
	}
	top, err := asked(api, r, "read")
	if err != nil {
		return undelivered{}, err
	}
	data, ok := stripe{}.List(top)
	if !ok {
		return undelivered{}, lie(errors.New("the answer is no list of events"))
	}
	for _, e := range data.Elements() {
		created, _ := e.Get("created").Int()
		return undelivered{
			id: e.Get("id").Text(), typ: e.Get("type").Text(), at: time.Unix(created, 0).UTC(),
			test: e.Get("livemode").Kind() == rawjson.Bool && !e.Get("livemode").Bool(),
		}, nil
	}
	return undelivered{}, nil
}

// sameAddress compares as HTTP does: the host without case.
func sameAddress(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Host, y.Host) && x.RequestURI() == y.RequestURI()
}

// nearAddress: the same but for what people get wrong.
func nearAddress(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && strings.EqualFold(x.Hostname(), y.Hostname()) &&
		(strings.EqualFold(strings.TrimRight(x.Path, "/"), strings.TrimRight(y.Path, "/")) || strings.HasSuffix(strings.TrimRight(x.Path, "/"), "/"+name))
}

// shown is a URL without what may be secret.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
