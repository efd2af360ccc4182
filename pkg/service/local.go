package service

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// LocalOnly protects a server on loopback from the web pages that a local user's
// browser shows: it answers 403 to a request for another host than localhost or an
// address, which is how a page reaches loopback by a name of its own (DNS
// rebinding), and to what another origin's page would change.
func LocalOnly(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalName(r.Host) {
			http.Error(w, "this server answers for localhost and addresses only", http.StatusForbidden)
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}
