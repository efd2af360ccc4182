package cli

import (
	"slices"

	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	// gap is between two columns.
	gap = 2
	// leastWide is what a wide column gets at least before others are left out for it.
	leastWide = 20
)

// fit gives how much room each column of a table has on a terminal of this
// width, -1 for those that are left out, and their titles. Width 0 is not known:
// then all stay.
func fit[T any](width int, columns []column[T], cells [][]string) (most []int, left []string) {
	most = make([]int, len(columns))
	for j, c := range columns {
		most[j] = len(c.title)
		for _, row := range cells {
			most[j] = max(most[j], text.StringWidthWithoutEscSequences(row[j]))
		}
		if c.wide {
			most[j] = min(most[j], clipRunes)
		}
	}
	if width <= 0 {
		return most, nil
	}
	for over(width, columns, most, leastWide) > 0 {
		next := -1
		for j, c := range columns {
			if c.leave > 0 && most[j] >= 0 && (next < 0 || c.leave < columns[next].leave) {
				next = j
			}
		}
		if next < 0 {
			break
		}
		most[next] = -1
		left = append(left, columns[next].title)
	}
	slices.Sort(left)
	for more := over(width, columns, most, clipRunes); more > 0; more-- { // the widest gives first
		widest := -1
		for j, c := range columns {
			if c.wide && most[j] > leastWide && (widest < 0 || most[j] > most[widest]) {
				widest = j
			}
		}
		if widest < 0 {
			break
		}
		most[widest]--
	}
	return most, left
}

// over is by how much a row is wider than the terminal when wide columns get at
// most this much.
func over[T any](width int, columns []column[T], most []int, wide int) int {
	sum := 0 // a bold title keeps its gap, also in the last column
	for j, c := range columns {
		switch {
		case most[j] < 0:
		case c.wide:
			sum += min(most[j], wide) + gap
		default:
			sum += most[j] + gap
		}
	}
	return sum - width
}
