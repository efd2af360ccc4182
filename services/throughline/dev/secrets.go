package dev

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// SecretsFile is where the local secrets are kept, below the data directory.
const SecretsFile = "secrets.json"

// localSecrets gives each source's secrets: what the operator set, else one of
// its own for this data directory, made once, so that a second start
// understands the same senders.
func (c *Command) localSecrets(names []string) (map[string][]string, error) {
	path := filepath.Join(c.DataDir, SecretsFile)
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
		if set := c.vendors.Get(name).Secrets; len(set) > 0 {
			secrets[name] = set
			kept[name] = set[0] // so that `throughline send` signs with it
			continue
		}
		if kept[name] == "" {
			kept[name] = "local_" + rand.Text()
		}
		secrets[name] = []string{kept[name]}
	}
	text, err = json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("keeping the local secrets: %w", err)
	}
	return secrets, process.ReplaceFile(path, append(text, '\n'), 0o600)
}
