package marketo

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// TokenHeader is the custom header in which the flow step's webhook sends the
// secret.
const TokenHeader = "X-Throughline-Token"

// TenantHeader is the custom header that names the instance (its munchkin id)
// for bodies that do not.
const TenantHeader = "X-Throughline-Tenant"

// Verify compares the token header. Marketo signs nothing, so neither the body
// nor the time is covered: only identity stops a replay.
func (marketo) Verify(d *source.Delivery, keys source.Keyring, _ time.Time) (int, error) {
	return source.VerifyToken(keys, d.Header.Get(TokenHeader), "the "+TokenHeader+" header")
}

// Sign sets the token header.
func (marketo) Sign(d *source.Delivery, secret string, _ time.Time) {
	d.Header.Set(TokenHeader, secret)
}
