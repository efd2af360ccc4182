package catalog

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/hubspot"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/pkg/source/salesforce"
	"github.com/throughline-dev/throughline/pkg/source/segment"
)

// NewSettings makes the settings of every source, and of the named ones, whose
// names are read from args and the environment before they are parsed.
func NewSettings(args []string, lookup func(string) (string, bool), opts ...settings.SourceOption) *settings.SourceSettings {
	var formats []string
	for _, f := range Formats() {
		formats = append(formats, f.Name)
	}
	const same = "Identities rest on it: the same for every service, set before the first event."
	return settings.NewSourceSettings(Set().Names(), append(opts, settings.WithNamedSources(formats, args, lookup),
		settings.WithAPISetting("hubspot", apiVersion, "DATE", "Version of HubSpot's API, a date that stands in its paths; without it "+hubspot.DefaultAPIVersion+"."),
		settings.WithAPISetting("hubspot", apiPortals, "ID,...|all", "Portals whose webhooks journal is read, in the place of the CRM: one by its local journal, several out of the global one, or all that have the app. The key is then CLIENT_ID:CLIENT_SECRET."),
		settings.WithAPISetting("hubspot", apiApp, "ID", "The app whose webhook subscriptions connect looks at."),
		settings.WithAPISetting("hubspot", apiReferences, "PROPERTY=SOURCE:KIND,...", "Properties of companies that hold other vendors' ids, in place of stripe_customer_id=stripe:customer and the like (README of the source)."),
		settings.WithOwnSetting("looker", accountColumn, "NAME,...", "Columns that name a report's account, where their names do not tell (README of the source); the first that a row has decides. The same for every service."),
		settings.WithOwnSetting("looker", timeColumn, "NAME,...", "Columns that say when a report's row happened, likewise. "+same),
		settings.WithOwnSetting("segment", groups, "trusted|ignored", "Whether a groupId of Segment names an account. trusted: only your own servers have the write keys of the connected sources. ignored, as without it: visitors have one too. The same for every service."),
		settings.WithOwnSetting("salesforce", organizations, "ID,...", "Ids of the Salesforce organizations (00D…) whose outbound messages are taken; none: of every one that knows the secret. The same for every service."),
	)...)
}

// The settings that one source alone has.
const (
	accountColumn = "ACCOUNT_COLUMN"
	timeColumn    = "TIME_COLUMN"
	groups        = "GROUPS"
	organizations = "ORGANIZATIONS"
	apiVersion    = "API_VERSION"
	apiPortals    = "API_PORTALS"
	apiApp        = "API_APP"
	apiReferences = "API_REFERENCES"
)

// FromSettings gives the vendors' sources and the named ones, after Parse. The error is
// With's.
func FromSettings(s *settings.SourceSettings) (source.Set, error) {
	var named []Named
	for _, n := range s.Named() {
		named = append(named, Named{Name: n.Name, Format: n.Format, Mapping: s.Get(n.Name).Mapping})
	}
	own := s.Get("looker").Own
	hub, hubErr := hubspotOptions(s.Get("hubspot").Own)
	keys, groupsErr := groupsTrusted(s.Get("segment").Own[groups])
	senders, sendersErr := salesforce.NewOptions(s.Get("salesforce").Own[organizations])
	if sendersErr != nil {
		sendersErr = fmt.Errorf("--salesforce-organizations (%s): %w", settings.SourceVariable("salesforce", organizations), sendersErr)
	}
	set, other := with(options{
		hubspot:    hub,
		looker:     looker.Columns{Account: own[accountColumn], Time: own[timeColumn]},
		segment:    segment.Options{TrustGroups: keys},
		salesforce: senders,
	}, named)
	if err := errors.Join(hubErr, groupsErr, sendersErr, other); err != nil {
		return source.Set{}, err
	}
	return set, nil
}

// hubspotOptions reads what a person set for HubSpot's API. The error holds every
// problem, one a line, each with its setting.
func hubspotOptions(own map[string][]string) (o hubspot.Options, err error) {
	var problems []error
	wrong := func(setting, text, should string) {
		flag := "--hubspot-" + strings.ToLower(strings.ReplaceAll(setting, "_", "-"))
		problems = append(problems, fmt.Errorf("%s (%s): %q should be %s", flag, settings.SourceVariable("hubspot", setting), text, should))
	}
	number := func(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
	o.APIVersion, o.AppID, o.Portals = strings.Join(own[apiVersion], ","), strings.Join(own[apiApp], ","), own[apiPortals]
	if _, err := time.Parse("2006-01", strings.TrimSuffix(o.APIVersion, "-beta")); err != nil && o.APIVersion != "" {
		wrong(apiVersion, o.APIVersion, "a date like "+hubspot.DefaultAPIVersion)
	}
	if o.AppID != "" && !number(o.AppID) {
		wrong(apiApp, o.AppID, "a number")
	}
	for _, portal := range o.Portals {
		if !number(portal) && portal != hubspot.AllPortals {
			wrong(apiPortals, portal, "the number of a portal, or all")
		}
	}
	for _, text := range own[apiReferences] {
		ref, err := hubspot.ParseCrossReference(text)
		if err != nil {
			wrong(apiReferences, text, "PROPERTY=SOURCE:KIND, like stripe_customer_id=stripe:customer")
		}
		o.CrossReferences = append(o.CrossReferences, ref)
	}
	return o, errors.Join(problems...)
}

func groupsTrusted(words []string) (bool, error) {
	switch strings.Join(words, ",") {
	case "", "ignored":
		return false, nil
	case "trusted":
		return true, nil
	}
	return false, fmt.Errorf("--segment-groups (%s) should be trusted or ignored", settings.SourceVariable("segment", groups))
}
