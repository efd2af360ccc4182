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
// rotated while the old one still works. On the command line and in the
// environment they are separated by commas (a comma inside is written \,),
// spaces around them do not count. It is assignable to a []string.
type Secrets []string

// String gives [hidden].
func (Secret) String() string { return hiddenText }

// GoString gives [hidden] to %#v.
func (Secret) GoString() string { return hiddenText }

// Format gives [hidden] to every verb of package fmt.
func (Secret) Format(f fmt.State, _ rune) { hide(f) }

// MarshalJSON gives "[hidden]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenText + `"`), nil }

// MarshalText gives [hidden], to YAML and map keys too.
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }

// String gives [hidden].
func (Secrets) String() string { return hiddenText }

// GoString gives [hidden] to %#v.
func (Secrets) GoString() string { return hiddenText }

// Format gives [hidden] to every verb of package fmt.
func (Secrets) Format(f fmt.State, _ rune) { hide(f) }

// MarshalJSON gives "[hidden]".
func (Secrets) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenText + `"`), nil }

// MarshalText gives [hidden].
func (Secrets) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }

// Decode is kong's: a comma list, or a list from a file. A flag given again adds.
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
		for _, element := range kong.SplitEscaped(fmt.Sprint(value), ',') {
			*s = append(*s, strings.TrimSpace(element))
		}
	}
	return nil
}

// Validate refuses an empty secret among others: anybody can sign with it.
func (s Secrets) Validate() error {
	for i, secret := range s {
		if secret == "" {
			return fmt.Errorf("secret %d of %d is empty", i+1, len(s))
		}
	}
	return nil
}

func (Secret) isHidden()  {}
func (Secrets) isHidden() {}

func hide(f fmt.State) { _, _ = f.Write([]byte(hiddenText)) }

// hidden reports whether a value must not be shown.
func hidden(v reflect.Value) bool {
	_, ok := v.Interface().(interface{ isHidden() })
	return ok
}
