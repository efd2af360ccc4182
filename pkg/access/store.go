package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// TokenPrefix is what every API token begins with, so that it is found where it does not belong.
const TokenPrefix = "tl_"

// Store keeps tokens, sessions and the audit log in Postgres. Its errors are Permanent with a reason, or marked by
// postgres.Classify. Any number of goroutines may use it.
type Store struct {
	pool *pgxpool.Pool
	// now is time.Now but in tests.
	now func() time.Time
}

// NewStore gives a store on a database that is migrated.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool, now: time.Now} }

// errUnknown says nothing of what was wrong with a token or a session: whoever sent it may be guessing.
var errUnknown = fault.Permanent(fault.Unauthenticated, errors.New("the token or the session is unknown, expired or revoked: sign in again, or ask an admin for a token"))

// newSecret gives 32 random bytes as text, behind a prefix.
func newSecret(prefix string) string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

// digest is what is stored of a secret. Looking a digest up tells nothing by its timing that helps to find the secret.
func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// clip bounds a text that becomes part of a row; what is cut off is marked.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}

func checkName(name string) error {
	if name == "" || len(name) > 400 || clip(name, 400) != name {
		return fault.Permanent(fault.Malformed, fmt.Errorf("a token's name should be 1 to 400 bytes of text, and says whose it is or what for"))
	}
	return nil
}
