package measure

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	s, ok := parseStat([]byte("42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 9 1 1\n"))
	require.True(t, ok)
	require.Equal(t, processStat{pid: 42, parent: 7, program: "a (b) c", took: 300}, s)
	for _, text := range []string{"", "42 a S 7", "42 (a) S 7 42", "x (a) S 7 0 0 0 0 0 0 0 0 0 1 1 1 1", "4 (a) S x 0 0 0 0 0 0 0 0 0 1 1 1 1", "4 (a) S 7 0 0 0 0 0 0 0 0 0 1 1 x 1"} {
		_, ok := parseStat([]byte(text))
		require.False(t, ok, text)
	}
}

func TestDescends(t *testing.T) {
	t.Parallel()
	processes := map[int]processStat{2: {pid: 2, parent: 1}, 3: {pid: 3, parent: 2}, 5: {pid: 5, parent: 6}, 6: {pid: 6, parent: 5}}
	require.True(t, descends(processes, processes[3], 1))
	require.False(t, descends(processes, processes[3], 3))
	require.False(t, descends(processes, processes[5], 1))
}

// A process that ends while the files are read is counted once.
func TestSettled(t *testing.T) {
	t.Parallel()
	type look struct {
		ids  []int
		took int64
	}
	for name, looks := range map[string][]look{
		"not at all at first": {{[]int{1}, 40}, {[]int{1}, 100}, {[]int{1}, 100}},
		"twice at first":      {{[]int{1, 2}, 160}, {[]int{1}, 100}, {[]int{1}, 100}, {[]int{1}, 101}},
		"for ever":            {},
	} {
		n := 0
		got := settled(func() ([]int, int64) {
			n++
			if len(looks) == 0 {
				return []int{n}, 100
			}
			l := looks[min(n, len(looks))-1]
			return l.ids, l.took
		})
		require.EqualValues(t, 100, got, name)
		require.LessOrEqual(t, n, mostLooks+1, name)
	}
}
