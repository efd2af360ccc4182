package service

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLocalOnly(t *testing.T) {
	t.Parallel()
	handler := LocalOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	tests := map[string]struct {
		method, host, origin, site string
		status                     int
	}{
		"an address":           {http.MethodGet, "127.0.0.1:9090", "", "", 204},
		"an IPv6 address":      {http.MethodGet, "[::1]:9090", "", "", 204},
		"without a port":       {http.MethodGet, "[::1]", "", "", 204},
		"localhost":            {http.MethodGet, "Localhost:9090", "", "", 204},
		"a rebound name":       {http.MethodGet, "evil.example:9090", "", "", 403},
		"a name like it":       {http.MethodGet, "localhost.evil.example", "", "", 403},
		"no host":              {http.MethodGet, "", "", "", 403},
		"a client's POST":      {http.MethodPost, "127.0.0.1:18081", "", "", 204},
		"another page's POST":  {http.MethodPost, "127.0.0.1:18081", "https://evil.example", "cross-site", 403},
		"an old browser's":     {http.MethodPost, "127.0.0.1:18081", "https://evil.example", "", 403},
		"another local port's": {http.MethodPost, "127.0.0.1:18081", "http://127.0.0.1:3000", "same-site", 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Host = tt.host
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
		})
	}
}
