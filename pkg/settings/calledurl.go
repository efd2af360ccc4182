package settings

import (
	"fmt"
	"net/url"
)

// CalledURL gives the URL that a vendor calls, without a query, of a source's
// public URL (SourceSetting.PublicURL): that one as it is, or with the usual path
// where it names a host alone. Some vendors sign it, so that the receiver and
// whoever plays the vendor must agree. "" is not known, and stays "".
func CalledURL(publicURL, source string) (string, error) {
	if publicURL == "" {
		return "", nil
	}
	usual := "/webhooks/" + source
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" {
		// The parser's text would repeat the value, which may carry a token.
		return "", fmt.Errorf("--%s-public-url should be an absolute URL like https://hooks.example.com%s", source, usual)
	}
	called := u.EscapedPath()
	if called == "" || called == "/" {
		called = usual
	}
	return u.Scheme + "://" + u.Host + called, nil
}
