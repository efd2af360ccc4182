package signin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// Ways to sign in.
const (
	WithToken = "token"
	WithOIDC  = "oidc"
	None      = "none"
)

// Config is what an operator sets about who may use the console and the API. API tokens are always taken.
type Config struct {
	PublicURL      settings.URL    `name:"console-public-url" env:"THROUGHLINE_CONSOLE_PUBLIC_URL" placeholder:"URL" help:"Address that people open, with the path prefix of the proxy in front, such as https://throughline.example.com or https://tools.example.com/throughline. Not set: http:// and the address it listens on."`
	Login          string          `name:"console-login" env:"THROUGHLINE_CONSOLE_LOGIN" enum:"token,oidc,none" default:"token" help:"How people sign in to the console (${default}): token, with an API token; oidc, at an identity provider; none, nobody has to, which is for a console that listens on loopback only."`
	Issuer         string          `name:"oidc-issuer" env:"THROUGHLINE_OIDC_ISSUER" placeholder:"URL" help:"OpenID Connect issuer, such as https://login.example.com/realms/main."`
	ClientID       string          `name:"oidc-client-id" env:"THROUGHLINE_OIDC_CLIENT_ID" placeholder:"ID" help:"The console's client id there; its redirect address is <public URL>/signin/callback."`
	ClientSecret   settings.Secret `name:"oidc-client-secret" env:"THROUGHLINE_OIDC_CLIENT_SECRET" help:"The client's secret; empty for a public client, which PKCE protects alone."`
	Scopes         []string        `name:"oidc-scopes" env:"THROUGHLINE_OIDC_SCOPES" default:"openid,email,profile" placeholder:"SCOPE,..." help:"Scopes to ask for (${default}); add the one that brings the groups, where there is one."`
	GroupsClaim    string          `name:"oidc-groups-claim" env:"THROUGHLINE_OIDC_GROUPS_CLAIM" default:"groups" placeholder:"CLAIM" help:"Claim of the ID token that lists somebody's groups (${default})."`
	AdminGroups    []string        `name:"oidc-admin-groups" env:"THROUGHLINE_OIDC_ADMIN_GROUPS" placeholder:"GROUP,..." help:"Groups whose members are admins."`
	OperatorGroups []string        `name:"oidc-operator-groups" env:"THROUGHLINE_OIDC_OPERATOR_GROUPS" placeholder:"GROUP,..." help:"Groups whose members are operators."`
	ViewerGroups   []string        `name:"oidc-viewer-groups" env:"THROUGHLINE_OIDC_VIEWER_GROUPS" placeholder:"GROUP,..." help:"Groups whose members are viewers; *: everybody whom the issuer knows."`
}

// Validate reports every problem.
func (c Config) Validate() error {
	var problems []error
	if u, err := url.Parse(string(c.PublicURL)); c.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		problems = append(problems, errors.New("--console-public-url should be like https://throughline.example.com, without a user, a query and a fragment"))
	} else if err == nil && u.Scheme == "http" && c.Login == WithOIDC && !isLoopback(u.Host) {
		problems = append(problems, errors.New("--console-public-url should begin with https:// where people sign in at an identity provider"))
	}
	if c.Login != WithOIDC {
		return errors.Join(problems...)
	}
	for _, s := range []struct{ flag, value, example string }{
		{"--oidc-issuer", c.Issuer, "https://login.example.com"},
		{"--oidc-client-id", c.ClientID, "throughline"},
		{"--console-public-url", string(c.PublicURL), "https://throughline.example.com"},
	} {
		if s.value == "" {
			problems = append(problems, fmt.Errorf("%s is not set, and --console-login is oidc: it should be like %s", s.flag, s.example))
		}
	}
	if u, err := url.Parse(c.Issuer); c.Issuer != "" && (err != nil || u.Host == "" || u.Scheme != "https" && !isLoopback(u.Host)) {
		problems = append(problems, fmt.Errorf("--oidc-issuer is %q: it should begin with https://", c.Issuer))
	}
	if !slices.Contains(c.Scopes, "openid") {
		problems = append(problems, errors.New("--oidc-scopes should have openid among them"))
	}
	if len(c.AdminGroups)+len(c.OperatorGroups)+len(c.ViewerGroups) == 0 {
		problems = append(problems, errors.New("--oidc-admin-groups, --oidc-operator-groups and --oidc-viewer-groups are all empty, so nobody could do anything"))
	}
	return errors.Join(problems...)
}

// CheckListen says whether a console without sign-in could be reached from elsewhere.
func (c Config) CheckListen(listen string) error {
	if c.Login == None && !isLoopback(listen) {
		return fmt.Errorf("--console-login is none and --console-listen is %q: nobody has to sign in, so it should listen on loopback, such as 127.0.0.1:8088", listen)
	}
	return nil
}

// BasePath gives the path prefix of the public URL: "" or like /throughline.
func (c Config) BasePath() string {
	u, err := url.Parse(string(c.PublicURL))
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}
