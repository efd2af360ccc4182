package looker

import (
	"strings"

	"github.com/tidwall/gjson"
)

// planTenant is the instance that a scheduled plan belongs to: the host of its
// url, or "".
func planTenant(plan []byte) string {
	url := gjson.GetBytes(plan, "url")
	if url.Type != gjson.String {
		return ""
	}
	return host(url.Str)
}

// host cuts an address to its host in lower case, without scheme, user, port or
// path, so that https://Acme.looker.com:19999/looks/42 and acme.looker.com are
// one instance. Text that is no address (an opaque instance id) stays.
func host(address string) string {
	address = strings.ToLower(strings.TrimSpace(address))
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	if end := strings.IndexAny(address, "/?#"); end >= 0 {
		address = address[:end]
	}
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		address = address[at+1:]
	}
	if port := strings.LastIndexByte(address, ':'); port >= 0 {
		address = address[:port]
	}
	return address
}
