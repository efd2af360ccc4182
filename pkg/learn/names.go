package learn

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// mostNames is how many accounts' names are compared; with more, rule 10 is off.
	mostNames = 200_000
	// namesFor is how long the names that were read are used.
	namesFor = 5 * time.Minute
	// similarFrom is the share of trigrams from which names are alike.
	similarFrom = 0.7
	// mostSimilar bounds the suggestions by a name.
	mostSimilar = 3
	// mostOfWord is how many accounts may have a word by which candidates are found.
	mostOfWord = 200
)

// nameIndex finds accounts by the words of their names.
type nameIndex struct {
	read   time.Time
	byWord map[string][]named
}

type named struct {
	id   uuid.UUID
	name string
}

// plainName is a name without case, punctuation and legal form.
func plainName(name string) []string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.DeleteFunc(words, isLegalForm)
}

// isLegalForm: the word says what kind of company it is, not which.
func isLegalForm(word string) bool {
	switch word {
	case "inc", "incorporated", "llc", "ltd", "limited", "corp", "corporation", "co", "company", "gmbh", "mbh", "ag", "kg", "ug", "se", "sa", "sas", "sarl",
		"srl", "spa", "bv", "nv", "ab", "oy", "as", "aps", "plc", "pty", "pte", "kk", "oü", "sp", "z", "o", "oo", "the", "group", "holding", "holdings":
		return true
	}
	return false
}

// trigrams are those of the words, as pg_trgm makes them.
func trigrams(words []string) map[string]bool {
	grams := map[string]bool{}
	for _, w := range words {
		runes := []rune("  " + w + " ")
		for i := range len(runes) - 2 {
			grams[string(runes[i:i+3])] = true
		}
	}
	return grams
}

// alike is the share of trigrams that two names have in common.
func alike(a, b map[string]bool) float64 {
	common := 0
	for g := range a {
		if b[g] {
			common++
		}
	}
	if all := len(a) + len(b) - common; all > 0 {
		return float64(common) / float64(all)
	}
	return 0
}

// similar gives the accounts whose names are like this one, the most alike first.
func (l *Learner) similar(ctx context.Context, name string) ([]Similar, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.names.read) > namesFor {
		if err := l.readNames(ctx); err != nil {
			return nil, err
		}
	}
	words := plainName(name)
	grams := trigrams(words)
	var found []Similar
	for _, w := range words {
		candidates := l.names.byWord[w]
		if len(candidates) > mostOfWord {
			continue
		}
		for _, c := range candidates {
			score := alike(grams, trigrams(plainName(c.name)))
			if score >= similarFrom && !slices.ContainsFunc(found, func(s Similar) bool { return s.Account == c.id }) {
				found = append(found, Similar{Account: c.id, Name: c.name, Score: score})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Similar) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return found[:min(len(found), mostSimilar)], nil
}

func (l *Learner) readNames(ctx context.Context) error {
	rows, err := l.o.Pool.Query(ctx, "SELECT id, name FROM accounts WHERE merged_into IS NULL LIMIT $1", mostNames+1)
	if err != nil {
		return broken("reading the accounts' names", err)
	}
	index := nameIndex{read: time.Now(), byWord: map[string][]named{}}
	count := 0
	var id uuid.UUID
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		count++
		n := named{id: id, name: name}
		for _, w := range plainName(name) {
			index.byWord[w] = append(index.byWord[w], n)
		}
		return nil
	}); err != nil {
		return broken("reading the accounts' names", err)
	}
	if count > mostNames {
		index.byWord = nil
	}
	l.names = index
	return nil
}
