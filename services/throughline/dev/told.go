package dev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// toldFile, in the data directory, says when the demo story was begun and, on a
// second line, that it was told to its end.
const toldFile = "demo-story"

// told is what the data directory knows of the demo story. Its events are the
// same whenever it is told as of the same time, so one that was interrupted can
// be told again.
type told struct {
	path string
	at   time.Time // when it was begun; zero: not yet
	all  bool
}

func readTold(dir string) (told, error) {
	t := told{path: filepath.Join(dir, toldFile)}
	content, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("reading how far the demo story was told: %w", err)
	}
	lines := strings.Fields(string(content))
	if len(lines) == 0 { // the disk was full when it was written
		return t, nil
	}
	if t.at, err = time.Parse(time.RFC3339, lines[0]); err != nil {
		return t, fmt.Errorf("%s holds no time: %w; remove it", t.path, err)
	}
	t.all = len(lines) > 1
	return t, nil
}

// begin notes the time as of which the story is told.
func (t *told) begin(now time.Time) error {
	if t.at.IsZero() {
		t.at = now.UTC().Truncate(time.Second)
	}
	return t.write("")
}

func (t *told) end() error { return t.write("told") }

func (t *told) write(state string) error {
	if err := os.WriteFile(t.path, []byte(t.at.Format(time.RFC3339)+"\n"+state+"\n"), 0o600); err != nil {
		return fmt.Errorf("noting how far the demo story was told: %w", err)
	}
	return nil
}
