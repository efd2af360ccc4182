package receiver

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// A signature has one form: no other character in any place of any header that
// is signed or signs is taken, so neither hex in upper case nor base64 whose
// spare bits differ, and nothing before or after it.
func TestSignaturesHaveOneForm(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, src := range catalog.Set().Sources() {
		t.Run(src.Name(), func(t *testing.T) {
			t.Parallel()
			verifier, err := src.(source.Webhook).Open([]string{secretOf(src.Name())})
			require.NoError(t, err)
			early, ok := verifier.(source.HeaderVerifier)
			require.True(t, ok, "its headers can be looked at before a body is read")
			d := &source.Delivery{Method: http.MethodPost, URL: publicHost + path(src.Name()), Header: http.Header{}, Body: []byte(`{"id":1}`)}
			require.NoError(t, source.Sign(src, d, secretOf(src.Name()), now))
			_, err = verifier.Verify(d, now)
			require.NoError(t, err)
			_, err = early.VerifyHeader(d, now)
			require.NoError(t, err)
			needed := 0
			for name, values := range d.Header {
				d.Header[name] = nil
				_, err := verifier.Verify(d, now)
				if err != nil {
					needed++
					for _, changed := range otherForms(values[0]) {
						d.Header[name] = []string{changed}
						_, err := verifier.Verify(d, now)
						require.Error(t, err, "%s: %q for %q", name, changed, values[0])
					}
				}
				d.Header[name] = values
			}
			require.Positive(t, needed)
		})
	}
}

// otherForms are texts that a lenient reader could take for text.
func otherForms(text string) (all []string) {
	for i := range len(text) {
		for c := byte(' '); c <= '~'; c++ {
			if c != text[i] {
				all = append(all, text[:i]+string(c)+text[i+1:])
			}
		}
		all = append(all, text[:i]+text[i+1:], text[:i]+"\n"+text[i:])
	}
	return append(all, text+"=", text+"A", text+"\n", " "+text)
}
