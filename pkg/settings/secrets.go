package settings

import (
	"errors"
	"fmt"
	"reflect"
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

// Validate refuses every secret that is too weak. The error names them by their
// place in the list.
func (s Secrets) Validate() error {
	var problems []error
	for i, secret := range s {
		if problem := weakness(secret); problem != "" {
			problems = append(problems, fmt.Errorf("secret %d of %d %s", i+1, len(s), problem))
		}
	}
	return errors.Join(problems...)
}

// weakness says why anybody could sign with this secret; "" when nothing is
// known against it.
func weakness(secret string) string {
	if secret == "" {
		return "is empty"
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
