package web

import (
	"net/http"

	"github.com/throughline-dev/throughline/services/console/signin"
)

// SignIn gives what renders the page to sign in (signin.Options.Render), for the console's base path.
func SignIn(base string) func(w http.ResponseWriter, r *http.Request, status int, p signin.Page) {
	a := readAssets(base)
	return func(w http.ResponseWriter, r *http.Request, status int, p signin.Page) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_ = signInPage(a, p).Render(r.Context(), w) // the browser is gone
	}
}
