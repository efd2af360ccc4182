package spool

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// segmentDigits is the length of a segment's file name, its first index.
const segmentDigits = 20

// repair makes dir what the library can open after a kill: it takes away its
// unfinished temporary files and cuts off the last segment's torn end, which
// was never acknowledged. It gives how many bytes it cut.
func repair(dir string) (cut int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("reading the spool: %w", err)
	}
	var segments []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".TEMP"):
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return 0, fmt.Errorf("removing an unfinished file of the spool: %w", err)
			}
		case len(name) == segmentDigits:
			segments = append(segments, name)
		}
	}
	if len(segments) == 0 {
		return 0, nil
	}
	path := filepath.Join(dir, slices.Max(segments))
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading the spool's last segment: %w", err)
	}
	whole := wholeEntries(content)
	if whole == len(content) {
		return 0, nil
	}
	if err := os.Truncate(path, int64(whole)); err != nil {
		return 0, fmt.Errorf("cutting the spool's torn end: %w", err)
	}
	return int64(len(content) - whole), nil
}

// wholeEntries gives where the last complete entry ends. Zeroes, which a file
// system may leave after a loss of power, are no entry. An entry whose
// checksum is wrong but which is followed by others stays, and is set aside
// when its turn comes: cutting there would lose the others.
func wholeEntries(content []byte) int {
	end := 0
	for end < len(content) {
		size, n := binary.Uvarint(content[end:])
		if n <= 0 || size <= crcBytes || size > uint64(len(content)-end-n) {
			break
		}
		end += n + int(size)
	}
	return end
}
