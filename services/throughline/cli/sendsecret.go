package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// variable is a source's environment variable, as settings.SourceSettings names it.
func variable(source, setting string) string {
	return "THROUGHLINE_" + strings.ToUpper(strings.ReplaceAll(source, "-", "_")) + "_" + setting
}

// secret gives what to sign with: the flag's, else the newest of the receiver's
// own variable, else that of the local file.
func (c *sendCommand) secret(s *session) (string, error) {
	if c.Secret != "" {
		return string(c.Secret), nil
	}
	env := variable(string(c.Source), "SECRETS")
	if all, set := s.Env(env); set {
		first, _, _ := strings.Cut(all, ",")
		if first = strings.TrimSpace(first); first == "" {
			return "", usage("%s is set but its first secret is empty", env)
		}
		return first, nil
	}
	secrets, err := readSecrets(c.SecretsFile)
	if err != nil {
		return "", err
	}
	if secret := secrets[string(c.Source)]; secret != "" {
		return secret, nil
	}
	return "", usage("no secret to sign with: set %s, or start `make run` here, which writes %s", env, c.SecretsFile)
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
