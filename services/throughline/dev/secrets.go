package dev

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// SecretsFile is where the local secrets are kept, below the data directory.
const SecretsFile = "secrets.json"

// PassFile keeps the passwords of the local Postgres, below the data directory.
const PassFile = "postgres.pass"

// localSecrets gives each source's secrets: what the operator set, else one of
// its own for this data directory, made once, so that a second start
// understands the same senders.
func (s *stack) localSecrets(names []string) (map[string][]string, error) {
	path := filepath.Join(s.command.DataDir, SecretsFile)
	kept := map[string]string{}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading the local secrets: %w", err)
	default:
		if err := json.Unmarshal(text, &kept); err != nil {
			return nil, fmt.Errorf("reading the local secrets: %s is not a JSON object of texts; delete it to get new ones", path)
		}
	}
	secrets := map[string][]string{}
	for _, name := range names {
		if set := s.set.Settings(name).Secrets; len(set) > 0 {
			secrets[name] = set
			kept[name] = set[0] // so that `throughline send` signs with it
			continue
		}
		if kept[name] == "" {
			if kept[name], err = newSecret(); err != nil {
				return nil, err
			}
		}
		secrets[name] = []string{kept[name]}
	}
	text, err = json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("keeping the local secrets: %w", err)
	}
	return secrets, process.ReplaceFile(path, append(text, '\n'), 0o600)
}

// newSecret makes a secret of the one form that every source takes: Standard
// Webhooks' key of 24 bytes, which to a vendor is a text like any other.
func newSecret() (string, error) {
	var key [24]byte
	if _, err := rand.Read(key[:]); err != nil {
		return "", fmt.Errorf("making a local secret: %w", err)
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(key[:]), nil
}
