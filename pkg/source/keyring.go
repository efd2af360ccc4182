package source

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// Keyring is what most verifiers hold: the secrets as text, newest first, of
// which each is tried. It prints as a count, so that no log can hold a secret.
type Keyring struct{ secrets []secret }

// NewKeyring refuses an empty list, and an empty or blank secret, because
// several vendors' own libraries accept what was signed with "".
func NewKeyring(secrets ...string) (Keyring, error) {
	if len(secrets) == 0 {
		return Keyring{}, errors.New("no secret is set")
	}
	for i, s := range secrets {
		if strings.TrimSpace(s) == "" {
			return Keyring{}, fmt.Errorf("secret %d of %d is empty", i+1, len(secrets))
		}
	}
	ring := Keyring{secrets: make([]secret, len(secrets))}
	for i, s := range secrets {
		ring.secrets[i].text, ring.secrets[i].sum = s, sha256.Sum256([]byte(s))
	}
	return ring, nil
}

// Match calls ok with each secret until one matches, and gives its position.
func (k Keyring) Match(ok func(secret string) bool) (key int, matched bool) {
	for i := range k.secrets {
		if ok(k.secrets[i].text) {
			return i, true
		}
	}
	return 0, false
}

// Len is how many secrets the ring holds.
func (k Keyring) Len() int { return len(k.secrets) }

// String says how many secrets there are and nothing of them.
func (k Keyring) String() string { return fmt.Sprintf("keyring of %d", len(k.secrets)) }

// GoString is String, so that %#v is as silent as %v.
func (k Keyring) GoString() string { return k.String() }

// MarshalJSON is String as JSON, for the same reason.
func (k Keyring) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }
