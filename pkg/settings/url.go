package settings

import (
	"fmt"
	"net/url"
	"strings"
)

// URL is an address in a configuration that may carry a password, a token or
// the like in its user, path or query. However it is printed, logged or
// encoded, it shows no more than scheme and host; string(u) is the value. With
// the tag file:"" it can also be given as a file, like a Secret.
type URL string

// String gives what may be shown.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	parsed, err := url.Parse(string(u))
	// An @ that is not the end of the user comes from a password that is not
	// percent-encoded: then what looks like the host may be a part of it.
	if err != nil || parsed.Scheme == "" || parsed.Host == "" || parsed.User == nil && strings.Contains(string(u), "@") {
		return hiddenText
	}
	shown := parsed.Scheme + "://" + parsed.Host
	if parsed.User != nil || strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "" {
		shown += "/" + hiddenText
	}
	return shown
}

// Format gives what may be shown to every verb of package fmt.
func (u URL) Format(f fmt.State, verb rune) { format(f, verb, u.String()) }

// MarshalText gives what may be shown, to JSON and YAML too.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

func (URL) isHidden() {}

// HTTPProblem says what is wrong with an absolute http or https address, in
// words that follow the setting's name and do not repeat the value; "" when
// nothing is.
func (u URL) HTTPProblem(example string) string {
	parsed, err := url.Parse(string(u))
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "should be an absolute URL like " + example
	}
	return ""
}
