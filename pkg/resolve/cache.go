package resolve

import (
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
)

// What a cache holds at most. The bytes count the text of references and obstacles, and a guess at what a map needs.
const (
	maxCachedReferences = 100_000
	maxCachedBytes      = 32 << 20
	maxCachedKinds      = 1000
	entryBytes          = 250
)

// cache remembers where references lead, those that lead nowhere too, and which kinds nobody has linked. All of it
// is of one epoch: every transaction that changes accounts, links or denials gives them a new one (migration 00010).
// Whoever uses an entry must find the same epoch in the database at that time, which costs a look at one row.
//
// It has two generations. What is found in the old one moves to the young one; when that is full it becomes the old
// one, whose rest is forgotten. So what is used stays, and the bounds hold.
type cache struct {
	maxReferences, maxBytes int // of both generations

	mu         sync.Mutex
	epoch      uuid.UUID // zero: empty
	young, old map[source.Reference]*verdict
	bytes      int               // of young
	unlinked   map[kind]struct{} // without any link or denial
}

func newCache(maxReferences, maxBytes int) *cache {
	return &cache{maxReferences: maxReferences, maxBytes: maxBytes}
}

// look fills in the verdicts of a batch's references that it knows of this epoch, of each event up to one that a link
// decides, or of all.
func (c *cache) look(epoch uuid.UUID, all bool, batch [][]source.Reference, verdicts []*verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	for _, refs := range batch {
		for i, ref := range refs {
			v := c.find(ref)
			if v == nil {
				continue
			}
			verdicts[i] = v
			if v.rule == RuleLinks && !all {
				break
			}
		}
		verdicts = verdicts[len(refs):]
	}
}

func (c *cache) find(ref source.Reference) *verdict {
	if _, ok := c.unlinked[kind{ref.Source, ref.Kind}]; ok {
		return nowhere
	}
	if v := c.young[ref]; v != nil {
		return v
	}
	v := c.old[ref]
	if v != nil {
		c.add(ref, v)
	}
	return v
}

// keep takes in answers of the database. Those of another epoch displace all that is there; which of the two is
// newer does not matter, because both are only used with their own.
func (c *cache) keep(a *answers) {
	if a.epoch == (uuid.UUID{}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != a.epoch {
		c.epoch, c.old, c.unlinked = a.epoch, nil, map[kind]struct{}{}
		c.young, c.bytes = map[source.Reference]*verdict{}, 0
	}
	for i, k := range a.kinds {
		if !a.linked[i] && !otherwise(k.kind) && len(c.unlinked) < maxCachedKinds {
			c.unlinked[kind{strings.Clone(k.source), strings.Clone(k.kind)}] = struct{}{}
		}
	}
	for _, n := range a.asked {
		ref := a.links.list[n]
		if _, ok := c.unlinked[kind{ref.Source, ref.Kind}]; !ok {
			// Not the text of which it may be a part.
			c.add(source.Reference{Source: ref.Source, Tenant: strings.Clone(ref.Tenant), Kind: ref.Kind, ID: strings.Clone(ref.ID)}, a.verdict(n))
		}
	}
}

// otherwise: references of this kind can lead to an account without a link of their own.
func otherwise(kind string) bool {
	return kind == source.KindEmail || kind == source.KindDomain || kind == source.KindAccountUUID
}

func (c *cache) add(ref source.Reference, v *verdict) {
	size := entryBytes + len(ref.ID) + len(ref.Tenant) + len(v.obstacle)
	if len(c.young) >= c.maxReferences/2 || c.bytes+size > c.maxBytes/2 {
		c.old, c.young, c.bytes = c.young, map[source.Reference]*verdict{}, 0
	}
	c.young[ref] = v
	c.bytes += size
}
