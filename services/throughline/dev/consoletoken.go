package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/local/process"
)

// TokenFile keeps the token that opens the console, below the data directory: other users of this machine reach its
// port, too.
const TokenFile = "console-token"

// consoleToken gives the token of the data directory; a new one where the database does not know it.
func (s *stack) consoleToken(ctx context.Context) (string, error) {
	path, store := filepath.Join(s.command.DataDir, TokenFile), access.NewStore(s.pool)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading the console's token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if _, err = store.ByToken(ctx, token); err == nil {
		return token, nil
	}
	if fault.ReasonOf(err) != fault.Unauthenticated {
		return "", err
	}
	made, err := store.CreateToken(ctx, access.Actor{Who: "cli:dev", Role: access.Admin, Via: "cli"}, "dev "+time.Now().UTC().Format("2006-01-02 15:04:05.000"), access.Admin, time.Time{})
	if err != nil {
		return "", err
	}
	return made.Secret, process.ReplaceFile(path, []byte(made.Secret+"\n"), 0o600)
}
