package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

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
