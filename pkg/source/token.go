package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// VerifyToken is Verify for a vendor that sends the secret itself, in the place
// that where names ("the X-Looker-Webhook-Token header"). It compares digests in
// constant time, so that neither the token's bytes nor its length show, and
// gives which key matched. A failure is Permanent(Unauthenticated).
func VerifyToken(keys Keyring, given, where string) (key int, err error) {
	if given == "" {
		return 0, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%s is missing or empty", where))
	}
	sum := sha256.Sum256([]byte(given))
	key, ok := keys.Match(func(secret string) bool {
		want := sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(sum[:], want[:]) == 1
	})
	if !ok {
		return 0, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%s holds none of the configured secrets", where))
	}
	return key, nil
}
