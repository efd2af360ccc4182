package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLineBytes is the largest event that Throughline takes. A larger one would
// be refused by the broker, for ever.
const maxLineBytes = 1 << 20

// checkpoint says how far a file has been published.
type checkpoint struct {
	// First is the digest of the file's first line: the checkpoint of one file
	// must not be used for another that happens to have its name.
	First  string `json:"first_line_sha256"`
	Offset int64  `json:"offset"` // bytes
	Lines  int64  `json:"lines"`  // events, without blank lines
}

// input is the file, read from where the checkpoint is.
type input struct {
	file       *os.File
	reader     *bufio.Reader
	size       int64
	checkpoint string
	at         checkpoint // of what is acknowledged
	read       checkpoint // of what next has given
	line       int64      // for messages, blank lines counted, from the start of this run
	held       []byte     // a line that did not fit the batch before
}

// open opens the file behind what its checkpoint says is published.
func open(path, checkpointPath string) (*input, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the events: %w", err)
	}
	in := &input{file: file, checkpoint: checkpointPath}
	if err := in.seek(); err != nil {
		file.Close()
		return nil, err
	}
	return in, nil
}

func (in *input) close() { in.file.Close() }

func (in *input) seek() error {
	info, err := in.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at the events: %w", err)
	}
	in.size = info.Size()
	first, err := bufio.NewReader(io.LimitReader(in.file, maxLineBytes+1)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the first event: %w", err)
	}
	digest := sha256.Sum256(first)
	in.at = checkpoint{First: hex.EncodeToString(digest[:])}
	text, err := os.ReadFile(in.checkpoint)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("reading the checkpoint: %w", err)
	default:
		var kept checkpoint
		if err := json.Unmarshal(text, &kept); err != nil {
			return fmt.Errorf("reading the checkpoint %s: %w", in.checkpoint, err)
		}
		if kept.First != in.at.First || kept.Offset > in.size {
			return fmt.Errorf("the checkpoint %s belongs to another file: remove it to begin anew", in.checkpoint)
		}
		in.at = kept
	}
	if _, err := in.file.Seek(in.at.Offset, io.SeekStart); err != nil {
		return fmt.Errorf("going to the checkpoint: %w", err)
	}
	in.reader, in.read = bufio.NewReaderSize(in.file, 64<<10), in.at
	return nil
}

// next gives the next events, at most so many and so many bytes, but at least
// one; io.EOF when there are no more.
func (in *input) next(most, mostBytes int) ([][]byte, error) {
	var lines [][]byte
	size := 0
	for len(lines) < most {
		raw := in.held
		in.held = nil
		if raw == nil {
			var err error
			if raw, err = in.readLine(); err != nil {
				if errors.Is(err, io.EOF) && len(lines) > 0 {
					return lines, nil
				}
				return nil, err
			}
		}
		line := bytes.TrimSpace(raw)
		if len(lines) > 0 && size+len(line) > mostBytes {
			in.held = raw
			return lines, nil
		}
		in.read.Offset += int64(len(raw))
		if len(line) == 0 {
			continue
		}
		in.read.Lines++
		size += len(line)
		lines = append(lines, line)
	}
	return lines, nil
}

// readLine gives a line with its end. The file's last may lack one.
func (in *input) readLine() ([]byte, error) {
	in.line++
	var line []byte
	for {
		part, err := in.reader.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLineBytes+2 {
			return nil, fmt.Errorf("event %d of this run, at byte %d, has more than %d bytes: take it out of the file", in.line, in.read.Offset, maxLineBytes)
		}
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

// commit remembers that all that next has given is acknowledged. The file is
// replaced in one step: a kill leaves the old checkpoint or the new one.
func (in *input) commit() error {
	in.at = in.read
	text, err := json.Marshal(in.at)
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	fresh := in.checkpoint + ".new"
	if err := os.WriteFile(fresh, text, 0o644); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	if err := os.Rename(fresh, in.checkpoint); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}
