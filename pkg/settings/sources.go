package settings

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// SourceSetting is what an operator sets for one source.
type SourceSetting struct {
	Secrets   Secrets // signing secrets, any of which may have signed; none: the source is off
	PublicURL string  // where the vendor posts to, as the vendor sees it; some sign it. "" when not behind a proxy
	MaxRate   float64 // most events a second that a receiver takes; 0: no limit
	Tenant    string  // the vendor's account, for events that do not say it; it is a part of their identity
	TestData  bool    // what the vendor marks as test data joins the timeline
	APIKey    Secret  // for the vendor's API (WithAPIs)
	APIURL    string  // what stands in for the address of the vendor's API, or ""
	Mapping   string  // of a named source: path of the file that says what lies where in its events, or ""
	// Own are the settings that this source alone has, by the name that
	// WithOwnSetting gave them, without the empty ones.
	Own map[string][]string
}

// SourceSettings are flags, variables and YAML keys for a list of sources that
// is known only at run time. For the source stripe: --stripe-secrets
// (THROUGHLINE_STRIPE_SECRETS), --stripe-public-url
// (THROUGHLINE_STRIPE_PUBLIC_URL), --stripe-tenant (THROUGHLINE_STRIPE_TENANT),
// --stripe-test-data (THROUGHLINE_STRIPE_TEST_DATA).
// Every service reads them under these names, so that no two can disagree.
//
//	sources := settings.NewSourceSettings([]string{"stripe", "hubspot"})
//	cfg := Config{Sources: sources.Plugins()} // Sources kong.Plugins `embed:""`
type SourceSettings struct {
	vendors, formats []string
	named            []NamedSource
	readNamed        func() string // the text of THROUGHLINE_NAMED_SOURCES; nil: there are none
	tenantsOnly      bool
	own              []ownSetting
	apis             []string                 // sources whose vendor's API is called
	values           map[string]reflect.Value // each the struct of one source's flags
}

// SourceOption changes which settings NewSourceSettings makes.
type SourceOption func(*SourceSettings)

// TenantsOnly leaves out what only a receiver needs: secrets, public URLs and rates.
func TenantsOnly() SourceOption {
	return func(s *SourceSettings) { s.tenantsOnly = true }
}

// WithAPIs adds the key and the address of the vendor's API to these sources, for
// who calls it: --stripe-api-key (THROUGHLINE_STRIPE_API_KEY) and --stripe-api-url.
func WithAPIs(sources ...string) SourceOption {
	return func(s *SourceSettings) { s.apis = append(s.apis, sources...) }
}

// ownSetting is a list of texts that one source has beside what all have.
type ownSetting struct {
	source, name, placeholder, help string
	api                             bool // of the vendor's API: only where that is called
}

func (o ownSetting) field() string {
	return "Own" + strings.ReplaceAll(o.name, "_", "")
}

// WithOwnSetting adds a setting that one source alone has, a list of texts:
// WithOwnSetting("looker", "TIME_COLUMN", …) is --looker-time-column.
func WithOwnSetting(source, name, placeholder, help string) SourceOption {
	return func(s *SourceSettings) {
		s.own = append(s.own, ownSetting{source, name, placeholder, help, false})
	}
}

// WithAPISetting is WithOwnSetting for what says how a vendor's API is called: only who
// has the source's API (WithAPIs) has it. Its name begins with API_.
func WithAPISetting(source, name, placeholder, help string) SourceOption {
	return func(s *SourceSettings) {
		s.own = append(s.own, ownSetting{source, name, placeholder, help, true})
	}
}

// owned gives the settings that this source alone has here.
func (s *SourceSettings) owned(source string) (own []ownSetting) {
	for _, o := range s.own {
		if o.source == source && (!o.api || slices.Contains(s.apis, source)) {
			own = append(own, o)
		}
	}
	return own
}

// WithNamedSources adds --named-sources (THROUGHLINE_NAMED_SOURCES) and the
// settings of the sources that it names, which are therefore read before Parse,
// from the same arguments and environment. formats are those that a named source
// may have.
func WithNamedSources(formats, args []string, lookup func(string) (string, bool)) SourceOption {
	return func(s *SourceSettings) {
		s.formats = formats
		s.readNamed = func() string { return Peek(args, lookup, namedFlag, namedEnv) }
	}
}

// NewSourceSettings makes the settings of the vendors' sources, and of named
// ones. Names are those of topics: lower case letters, digits and dashes.
func NewSourceSettings(vendors []string, opts ...SourceOption) *SourceSettings {
	s := &SourceSettings{vendors: vendors, values: map[string]reflect.Value{}}
	for _, o := range opts {
		o(s)
	}
	if s.readNamed != nil {
		// What is wrong is said by Parse, which sees the same text.
		s.named, _ = NamedSources(s.readNamed(), vendors, s.formats)
	}
	for _, name := range s.Names() {
		s.values[name] = reflect.New(s.structOf(name))
	}
	return s
}

// Names gives all sources: the vendors', then the named ones.
func (s *SourceSettings) Names() []string {
	names := slices.Clone(s.vendors)
	for _, source := range s.named {
		names = append(names, source.Name)
	}
	return names
}

// Named gives the named sources, those with a problem left out: after Parse
// without a problem there is none.
func (s *SourceSettings) Named() []NamedSource { return slices.Clone(s.named) }

// Plugins gives the flags to a field `kong.Plugins` tagged embed:"" of a
// configuration or of a command, before Parse.
func (s *SourceSettings) Plugins() kong.Plugins {
	plugins := kong.Plugins{&removedSettings{}}
	if s.readNamed != nil {
		plugins = append(plugins, &namedSetting{of: s})
	}
	for _, name := range s.Names() {
		plugins = append(plugins, s.values[name].Interface())
	}
	return plugins
}

// Get gives what was set for the source, after Parse; nothing for a name that
// is not in the list.
func (s *SourceSettings) Get(name string) SourceSetting {
	v, ok := s.values[name]
	if !ok {
		return SourceSetting{}
	}
	v = v.Elem()
	set := SourceSetting{Tenant: v.FieldByName("Tenant").String(), TestData: v.FieldByName("TestData").String() == AcceptTestData}
	if mapping := v.FieldByName("Mapping"); mapping.IsValid() {
		set.Mapping = mapping.String()
	}
	if key := v.FieldByName("APIKey"); key.IsValid() {
		set.APIKey, set.APIURL = key.Interface().(Secret), v.FieldByName("APIURL").String()
	}
	for _, own := range s.owned(name) {
		if list := v.FieldByName(own.field()).Interface().([]string); len(list) > 0 {
			if set.Own == nil {
				set.Own = map[string][]string{}
			}
			set.Own[own.name] = list
		}
	}
	if !s.tenantsOnly {
		set.Secrets = v.FieldByName("Secrets").Interface().(Secrets)
		set.PublicURL = v.FieldByName("PublicURL").String() // the value: reflection calls no method
		set.MaxRate = v.FieldByName("MaxRate").Float()
	}
	return set
}

// Tenants gives the tenants that are set, by source, after Parse.
func (s *SourceSettings) Tenants() map[string]string {
	tenants := map[string]string{}
	for name := range s.values {
		tenants[name] = s.Get(name).Tenant
	}
	maps.DeleteFunc(tenants, func(_, tenant string) bool { return tenant == "" })
	return tenants
}

// TestData gives the sources whose test data is accepted, after Parse.
func (s *SourceSettings) TestData() map[string]bool {
	accepted := map[string]bool{}
	for name := range s.values {
		if s.Get(name).TestData {
			accepted[name] = true
		}
	}
	return accepted
}

// SourceVariable gives the variable of a source's setting (SECRETS, PUBLIC_URL,
// TENANT, TEST_DATA): THROUGHLINE_STRIPE_SECRETS.
func SourceVariable(source, setting string) string {
	return "THROUGHLINE_" + strings.ToUpper(strings.ReplaceAll(source, "-", "_")) + "_" + setting
}

func (s *SourceSettings) structOf(source string) reflect.Type {
	field := func(name string, kind reflect.Type, setting, placeholder, help string) reflect.StructField {
		return reflect.StructField{Name: name, Type: kind, Tag: reflect.StructTag(fmt.Sprintf(
			`name:"%s-%s" env:"%s" placeholder:"%s" help:"%s" group:"Source %s"`, source,
			strings.ReplaceAll(strings.ToLower(setting), "_", "-"), SourceVariable(source, setting), placeholder, help, source))}
	}
	tenant := field("Tenant", reflect.TypeFor[string](), "TENANT", "ID",
		"Account at the vendor, where events do not name it. It is a part of their identity: the same for every service, set before the first event.")
	test := field("TestData", reflect.TypeFor[testData](), "TEST_DATA", "accept|quarantine",
		"What becomes of events that the vendor marks as test data (Stripe: livemode false). Without it they wait in quarantine as test_data. The normalizer reads it.")
	fields := []reflect.StructField{tenant, test}
	if slices.ContainsFunc(s.named, func(n NamedSource) bool { return n.Name == source }) {
		fields = append(fields, field("Mapping", reflect.TypeFor[string](), "MAPPING", "FILE",
			"YAML or JSON file that says what lies where in its events. Identities rest on it: the same for every service, set before the first event."))
	}
	if slices.Contains(s.apis, source) {
		fields = append(fields,
			field("APIKey", reflect.TypeFor[Secret](), "API_KEY", "KEY", "Key for the vendor's API. One that may only read is enough for all but throughline connect."),
			field("APIURL", reflect.TypeFor[publicURL](), "API_URL", "URL", "Address that stands in for the vendor's API: a gateway through which calls have to go."))
	}
	for _, own := range s.owned(source) {
		f := field(own.field(), reflect.TypeFor[[]string](), own.name, own.placeholder, own.help)
		// A group that is not every source's, so that lists of settings show it by its own name.
		f.Tag = reflect.StructTag(strings.Replace(string(f.Tag), `group:"Source `, `group:"Sources: `, 1))
		fields = append(fields, f)
	}
	if s.tenantsOnly {
		return reflect.StructOf(fields)
	}
	return reflect.StructOf(append([]reflect.StructField{
		field("Secrets", reflect.TypeFor[Secrets](), "SECRETS", "SECRET,...", "Signing secrets, newest first, separated by commas while one is rotated."),
		field("PublicURL", reflect.TypeFor[publicURL](), "PUBLIC_URL", "URL", "Address that the vendor posts to, as the vendor knows it."),
		field("MaxRate", reflect.TypeFor[float64](), "MAX_RATE", "EVENTS", "Most events a second, in each receiver; beyond it the vendor is told to retry. What a minute leaves may be used in a burst. 0 or not set: no limit."),
	}, fields...))
}

// AcceptTestData is the value of a source's TEST_DATA with which its test data
// joins the timeline.
const AcceptTestData = "accept"

// testData is what becomes of a source's test data; "" is quarantine.
type testData string

// Validate refuses any other word.
func (t testData) Validate() error {
	switch t {
	case "", "quarantine", AcceptTestData:
		return nil
	}
	return fmt.Errorf("should be %s or quarantine", AcceptTestData)
}

// namedSetting is the setting that NewSourceSettings read ahead.
type namedSetting struct {
	Sources []string `name:"named-sources" env:"THROUGHLINE_NAMED_SOURCES" placeholder:"NAME=FORMAT" group:"Sources" help:"Sources of senders that keep to a common format, by a name of your own: billing=standardwebhooks is received at /webhooks/billing and set up by THROUGHLINE_BILLING_…."`

	of *SourceSettings
}

// Validate gives every problem at once.
func (n *namedSetting) Validate() error {
	_, err := NamedSources(strings.Join(n.Sources, ","), n.of.vendors, n.of.formats)
	return err
}

// removedSettings are those of earlier versions that would be missed in silence.
type removedSettings struct {
	Tenants removedTenants `name:"tenant" env:"THROUGHLINE_TENANTS" hidden:""`
}

type removedTenants string

// Validate refuses any value.
func (t removedTenants) Validate() error {
	if t == "" {
		return nil
	}
	return errors.New("THROUGHLINE_TENANTS is no longer read: set THROUGHLINE_<SOURCE>_TENANT for each source instead, like THROUGHLINE_MARKETO_TENANT=123-ABC-456")
}

// publicURL is "" or an absolute http(s) URL. It prints as a URL does: some
// vendors' carry a token.
type publicURL string

// Validate refuses what a vendor could not post to.
func (u publicURL) Validate() error {
	if u == "" {
		return nil
	}
	if problem := URL(u).HTTPProblem("https://hooks.example.com/webhooks/…"); problem != "" {
		return errors.New(problem)
	}
	return nil
}

// String gives what may be shown.
func (u publicURL) String() string { return URL(u).String() }

// Format gives what may be shown to every verb of package fmt.
func (u publicURL) Format(f fmt.State, verb rune) { URL(u).Format(f, verb) }

// MarshalText gives what may be shown, to JSON and YAML too.
func (u publicURL) MarshalText() ([]byte, error) { return URL(u).MarshalText() }

func (publicURL) isHidden() {}
