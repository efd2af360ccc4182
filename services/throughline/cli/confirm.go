package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

// confirm asks a person. nil: yes.
func (s *session) confirm(ctx context.Context, question string) error {
	if !s.InTerminal {
		return usage("%s Standard input is not a terminal: use --yes, or --dry-run to count only", question)
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", clean(question))
	answer := make(chan string, 1)
	// A terminal cannot be told to stop waiting, so an interrupt leaves this behind, and the process ends.
	go func() {
		line, _ := bufio.NewReader(s.In).ReadString('\n') // no line: no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return errors.New("nothing was changed")
	case <-ctx.Done():
		return ctx.Err()
	}
}
