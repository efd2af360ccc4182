package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// MatchToken is Match for a vendor that sends the secret itself, in the place
// that where names ("the X-Looker-Webhook-Token header"). It compares digests in
// constant time, so that neither the token's bytes nor its length show. A
// failure is Permanent(Unauthenticated).
func (k Keyring) MatchToken(given, where string) (key int, err error) {
	if given == "" {
		return 0, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%s is missing or empty", where))
	}
	sum := sha256.Sum256([]byte(given))
	for i := range k.secrets {
		if subtle.ConstantTimeCompare(sum[:], k.secrets[i].sum[:]) == 1 {
			return i, nil
		}
	}
	return 0, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%s holds none of the configured secrets", where))
}

// NewTokenKeyring is NewKeyring for MatchToken: it refuses a secret that no
// header can carry as it is (blanks around it, control characters).
func NewTokenKeyring(secrets ...string) (Keyring, error) {
	for i, s := range secrets {
		if s != strings.TrimSpace(s) || !IsText(s) {
			return Keyring{}, fmt.Errorf("secret %d of %d has blanks around it or control characters, so no header can carry it", i+1, len(secrets))
		}
	}
	return NewKeyring(secrets...)
}
