package settings

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// SourceSetting is what an operator sets for one source.
type SourceSetting struct {
	Secrets   Secrets // signing secrets, any of which may have signed; none: the source is off
	PublicURL string  // where the vendor posts to, as the vendor sees it; some sign it. "" when not behind a proxy
	Tenant    string  // the vendor's account, for vendors whose events do not say it
}

// SourceSettings are flags, variables and YAML keys for a list of sources that
// is known only at run time. For the source stripe: --stripe-secrets
// (THROUGHLINE_STRIPE_SECRETS), --stripe-public-url
// (THROUGHLINE_STRIPE_PUBLIC_URL), --stripe-tenant (THROUGHLINE_STRIPE_TENANT).
//
//	settings := settings.NewSourceSettings([]string{"stripe", "hubspot"})
//	cfg := Config{Sources: settings.Plugins()} // Sources kong.Plugins `embed:""`
type SourceSettings struct {
	names  []string
	values map[string]reflect.Value // each the struct of one source's flags
}

// NewSourceSettings makes the settings of these sources. Names are those of
// topics: lower case letters, digits and dashes.
func NewSourceSettings(names []string) *SourceSettings {
	s := &SourceSettings{names: names, values: map[string]reflect.Value{}}
	for _, name := range names {
		s.values[name] = reflect.New(sourceStruct(name))
	}
	return s
}

// Plugins gives the flags to a field `kong.Plugins` tagged embed:"" of a
// configuration or of a command, before Parse.
func (s *SourceSettings) Plugins() kong.Plugins {
	var plugins kong.Plugins
	for _, name := range s.names {
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
	return SourceSetting{
		Secrets:   v.FieldByName("Secrets").Interface().(Secrets),
		PublicURL: v.FieldByName("PublicURL").String(),
		Tenant:    v.FieldByName("Tenant").String(),
	}
}

func sourceStruct(name string) reflect.Type {
	prefix := "THROUGHLINE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	tag := func(key, env, placeholder, help string) reflect.StructTag {
		return reflect.StructTag(fmt.Sprintf(`name:"%s-%s" env:"%s_%s" placeholder:"%s" help:"%s" group:"Source %s"`,
			name, key, prefix, env, placeholder, help, name))
	}
	return reflect.StructOf([]reflect.StructField{
		{Name: "Secrets", Type: reflect.TypeFor[Secrets](),
			Tag: tag("secrets", "SECRETS", "SECRET,...", "Signing secrets, separated by commas while one is rotated.")},
		{Name: "PublicURL", Type: reflect.TypeFor[publicURL](),
			Tag: tag("public-url", "PUBLIC_URL", "URL", "Address that the vendor posts to, as the vendor knows it.")},
		{Name: "Tenant", Type: reflect.TypeFor[string](),
			Tag: tag("tenant", "TENANT", "ID", "Account at the vendor, where events do not name it.")},
	})
}

// publicURL is "" or an absolute http(s) URL.
type publicURL string

// Validate refuses what a vendor could not post to. The value is not repeated:
// some vendors' URLs carry a token.
func (u publicURL) Validate() error {
	if u == "" {
		return nil
	}
	parsed, err := url.Parse(string(u))
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return errors.New("should be a whole address like https://hooks.example.com/webhooks/…")
	}
	return nil
}
