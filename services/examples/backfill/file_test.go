package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, text string) (file, checkpoint string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file, file + ".checkpoint"
}

// rest gives the lines of every batch from here to the end.
func rest(t *testing.T, in *input, most, mostBytes int) (batches []string) {
	t.Helper()
	for {
		lines, err := in.next(most, mostBytes)
		if errors.Is(err, io.EOF) {
			return batches
		}
		require.NoError(t, err)
		var texts []string
		for _, line := range lines {
			texts = append(texts, string(line))
		}
		batches = append(batches, strings.Join(texts, " "))
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text      string
		most, max int
		want      []string
	}{
		"by number":       {"a\nb\nc\n", 2, 100, []string{"a b", "c"}},
		"by bytes":        {"aaa\nbbb\nc\n", 9, 6, []string{"aaa bbb", "c"}},
		"one that is big": {"a\nbbbbbb\nc\n", 9, 3, []string{"a", "bbbbbb", "c"}},
		"blank lines":     {"\na\r\n\n  \nb\n\n", 9, 100, []string{"a b"}},
		"no last newline": {"a\nb", 9, 100, []string{"a b"}},
		"nothing":         {"", 9, 100, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := open(write(t, c.text))
			require.NoError(t, err)
			defer in.close()
			require.Equal(t, c.want, rest(t, in, c.most, c.max))
		})
	}
}

func TestGoesOnBehindTheCheckpoint(t *testing.T) {
	t.Parallel()
	file, checkpoint := write(t, "aa\nbb\ncc\ndd\nee")
	for _, want := range []string{"aa bb", "cc dd", "ee"} {
		in, err := open(file, checkpoint)
		require.NoError(t, err)
		lines, err := in.next(2, 5)
		require.NoError(t, err)
		require.Equal(t, want, string(bytes.Join(lines, []byte(" "))))
		require.NoError(t, in.commit())
		_, err = in.next(2, 5) // read, but never acknowledged
		if !errors.Is(err, io.EOF) {
			require.NoError(t, err)
		}
		in.close()
	}
	in, err := open(file, checkpoint)
	require.NoError(t, err)
	defer in.close()
	require.Empty(t, rest(t, in, 2, 5))
	require.EqualValues(t, 5, in.at.Lines)
}

func TestAnotherFilesCheckpointIsRefused(t *testing.T) {
	t.Parallel()
	file, checkpoint := write(t, "aa\nbb\n")
	in, err := open(file, checkpoint)
	require.NoError(t, err)
	_, err = in.next(1, 100)
	require.NoError(t, err)
	require.NoError(t, in.commit())
	in.close()
	require.NoError(t, os.WriteFile(file, []byte("xx\nbb\n"), 0o600))
	_, err = open(file, checkpoint)
	require.ErrorContains(t, err, "belongs to another file")
}

func TestALineBeyondTheBoundIsNamed(t *testing.T) {
	t.Parallel()
	in, err := open(write(t, "a\n"+strings.Repeat("x", maxLineBytes+10)+"\n"))
	require.NoError(t, err)
	defer in.close()
	_, err = in.next(1, 100)
	require.NoError(t, err)
	_, err = in.next(1, 100)
	require.ErrorContains(t, err, "event 2 of this run, at byte 2,")
}
