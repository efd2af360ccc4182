package receiver

import (
	"net/http"

	"github.com/throughline-dev/throughline/pkg/source"
)

// answer is a source's Response, made ready to be written.
type answer struct {
	source.Response
}

// jsonType is shared by all answers: net/http only reads it.
var jsonType = []string{"application/json"}

// newAnswer takes a status that cannot be one as 503: the vendor tries again,
// and net/http does not panic.
func newAnswer(resp source.Response) answer {
	if resp.Status < 200 || resp.Status > 599 {
		resp.Status = http.StatusServiceUnavailable
	}
	return answer{resp}
}

func (a answer) write(w http.ResponseWriter) {
	header := w.Header()
	for name, values := range a.Header {
		header[name] = values
	}
	if len(a.Body) > 0 && header["Content-Type"] == nil {
		header["Content-Type"] = jsonType
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that went away asks again
}

// notFound answers every path but the sources' own.
func notFound(w http.ResponseWriter, _ *http.Request) {
	newAnswer(source.Response{
		Status: http.StatusNotFound,
		Body:   []byte(`{"error":"not_found","detail":"there is nothing here: deliveries are posted to /webhooks/<source> of a source that is switched on"}`),
	}).write(w)
}
