package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// secret gives what to sign with: the flag's, else the newest of the receiver's
// own variable, else that of the local file.
func (c *sendCommand) secret(s *session) (string, error) {
	if c.Secret != "" {
		return string(c.Secret), nil
	}
	set, err := s.receiverSettings(string(c.Source))
	if err != nil {
		return "", err
	}
	if len(set.Secrets) > 0 {
		return set.Secrets[0], nil
	}
	secrets, err := readSecrets(c.SecretsFile)
	if err != nil {
		return "", err
	}
	if secret := secrets[string(c.Source)]; secret != "" {
		return secret, nil
	}
	return "", usage("no secret to sign with: set %s, or start `make run` here, which writes %s", settings.SourceVariable(string(c.Source), "SECRETS"), c.SecretsFile)
}

// receiverSettings gives what a receiver in this environment would have for the
// source, files of secrets included.
func (s *session) receiverSettings(source string) (settings.SourceSetting, error) {
	sources := settings.NewSourceSettings([]string{source})
	config := struct {
		Sources kong.Plugins `embed:""`
	}{sources.Plugins()}
	_, err := settings.Parse(nil, &config, settings.WithEnv(func(name string) (string, bool) {
		if strings.HasPrefix(name, settings.SourceVariable(source, "")) {
			return s.Env(name)
		}
		return "", false
	}))
	return sources.Get(source), err
}

// readSecrets reads {"stripe":"…"}. No file: nothing.
func readSecrets(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the local secrets: %w", err)
	}
	var secrets map[string]string
	if json.Unmarshal(text, &secrets) != nil { // its error may quote the file
		return nil, fmt.Errorf(`reading the local secrets: %s is not like {"stripe":"…"}: remove it, and `+"`make run`"+` writes it anew`, path)
	}
	return secrets, nil
}

// usualHeaders are those that the vendor sends beside its signature. Nothing
// here trusts them; they let a proxy's rule or a log meet what it will meet. A
// source without a case of its own works too.
func usualHeaders(source string, invocation uuid.UUID) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"throughline-send"}}
	switch source {
	case "stripe":
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	case "zendesk": // developer.zendesk.com/documentation/webhooks/anatomy-of-a-webhook-request/
		h.Set("X-Zendesk-Webhook-Id", "01J00000000000000000000000")
		h.Set("X-Zendesk-Webhook-Invocation-Id", invocation.String())
	}
	return h
}
