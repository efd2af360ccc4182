package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// secret gives what to sign with: the flag's, else the newest of the receiver's
// own setting, else that of the local file.
func (c *sendCommand) secret(set settings.SourceSetting) (string, error) {
	if c.Secret != "" {
		return string(c.Secret), nil
	}
	if len(set.Secrets) > 0 {
		return set.Secrets[0], nil
	}
	secrets, err := readSecrets(c.SecretsFile)
	if err != nil {
		return "", err
	}
	if secret := secrets[c.Source]; secret != "" {
		return secret, nil
	}
	return "", usage("no secret to sign with: set %s, or start `make run` here, which writes %s", settings.SourceVariable(c.Source, "SECRETS"), c.SecretsFile)
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
