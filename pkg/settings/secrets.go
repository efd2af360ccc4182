package settings

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// hiddenText stands wherever a secret would be printed.
const hiddenText = "[hidden]"

// Secret is a password, token or key in a configuration. However it is
// printed, logged or encoded, it shows as [hidden]; string(s) is the value.
type Secret string

// Secrets is a list of them, newest first by convention, so that one can be
// rotated while the old one still works. On the command line, in the
// environment and in a file of their own they are separated by commas or line
// breaks (a comma inside is written \,); spaces around them do not count. It is
// assignable to a []string.
type Secrets []string

// String gives [hidden].
func (Secret) String() string { return hiddenText }

// Format gives [hidden] to every verb of package fmt.
func (Secret) Format(f fmt.State, verb rune) { format(f, verb, hiddenText) }

// MarshalText gives [hidden], to JSON and YAML too.
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }

// String gives [hidden].
func (Secrets) String() string { return hiddenText }

// Format gives [hidden] to every verb of package fmt.
func (Secrets) Format(f fmt.State, verb rune) { format(f, verb, hiddenText) }

// MarshalText gives [hidden], to JSON and YAML too.
func (Secrets) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }

// Decode is kong's: one text of all, or a list from YAML. A flag given again adds.
func (s *Secrets) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("secrets")
	if err != nil {
		return errors.New("a value is missing")
	}
	switch value := token.Value.(type) {
	case []any:
		for _, element := range value {
			*s = append(*s, strings.TrimSpace(fmt.Sprint(element)))
		}
	default:
		for line := range strings.SplitSeq(fmt.Sprint(value), "\n") {
			for _, element := range kong.SplitEscaped(line, ',') {
				*s = append(*s, strings.TrimSpace(element))
			}
		}
	}
	return nil
}

// Validate refuses empty secrets. The error names them by their place in the list.
func (s Secrets) Validate() error {
	return s.check(func(secret string) string {
		if secret == "" {
			return "is empty"
		}
		return ""
	})
}

// CheckStrength refuses every secret that anybody could guess or look up: short
// ones, placeholders, those that vendors publish. It is for who believes what is
// signed with them; who signs takes what it is given. The error names them by
// their place in the list.
func (s Secrets) CheckStrength() error { return s.check(weakness) }

func (s Secrets) check(problem func(secret string) string) error {
	var problems []error
	for i, secret := range s {
		if text := problem(secret); text != "" {
			problems = append(problems, fmt.Errorf("secret %d of %d %s", i+1, len(s), text))
		}
	}
	return errors.Join(problems...)
}

// The bounds of a secret. Every vendor makes them longer than the least.
const (
	minSecretChars    = 16
	minSecretDistinct = 6
)

// published are secrets that stand in vendors' documentation, libraries or tests
// and are therefore everybody's.
var published = map[string]bool{
	"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":       true, // standard-webhooks and Svix: specification, libraries
	"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":             true, // the same without its prefix
	"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD":       true, // standard-webhooks: specification
	"whsec_plJ3nmyCDGBKInavdOK15jsl":               true, // Svix: documentation of webhooks
	"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==": true, // Zendesk: the test secret of every account
	"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy":         true, // HubSpot: request validation
	"whsec_test_secret":                            true, // Stripe: its libraries' tests
}

// placeholders are words of configuration that nobody has filled in yet.
var placeholders = regexp.MustCompile(`(?i)change.?me|replace.?me|your[-_ ]?(client|signing|webhook|endpoint)?[-_ ]?(secret|token|key)|\bexample[-_ ]secret|x{8}`)

// weakness says why anybody could sign with this secret; "" when nothing is
// known against it.
func weakness(secret string) string {
	distinct := map[rune]bool{}
	for _, c := range secret {
		distinct[c] = true
	}
	switch {
	case secret == "":
		return "is empty"
	case published[secret]:
		return "stands in public documentation, so that anybody can sign with it: take your own"
	case len(secret) < minSecretChars:
		return fmt.Sprintf("is shorter than %d characters, so it can be guessed", minSecretChars)
	case len(distinct) < minSecretDistinct:
		return fmt.Sprintf("has fewer than %d different characters, so it can be guessed", minSecretDistinct)
	case placeholders.MatchString(secret):
		return "is a placeholder: take the vendor's secret, or make one"
	}
	return ""
}

func (Secret) isHidden()  {}
func (Secrets) isHidden() {}

// format prints what is shown instead of a value.
func format(f fmt.State, verb rune, shown string) { fmt.Fprintf(f, fmt.FormatString(f, verb), shown) }

// hidden reports whether a value must not be shown.
func hidden(v reflect.Value) bool {
	_, ok := v.Interface().(interface{ isHidden() })
	return ok
}
