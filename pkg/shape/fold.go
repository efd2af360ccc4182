package shape

// fold makes one * of all members of an object.
func (s *Shape) fold(n *node) {
	s.changes++
	kids := n.kids
	n.kids, n.byName, n.likely, n.total.Folded = nil, nil, 0, true
	for _, kid := range kids {
		s.forget(kid)
	}
	if n.wild == nil {
		n.wild = s.add(n, Segment{Kind: IsWildcard})
	}
	for _, kid := range kids {
		if n.wild != nil {
			s.merge(n.wild, kid)
		}
	}
}

// forget takes a node and what lies below out of the count and out of what is stored.
func (s *Shape) forget(n *node) {
	s.paths--
	if n.known {
		s.gone = append(s.gone, n.total.Path)
	}
	n.forgotten = true
	for _, kid := range n.below() {
		s.forget(kid)
	}
}

// below gives all nodes that are one step down.
func (n *node) below() []*node {
	all := n.kids[:len(n.kids):len(n.kids)]
	if n.element != nil {
		all = append(all, n.element)
	}
	if n.wild != nil {
		all = append(all, n.wild)
	}
	return all
}

// merge adds what is known of from to n.
func (s *Shape) merge(n, from *node) {
	n.total.merge(from.total)
	n.known = n.known || from.known
	if s.touches(from) {
		if !s.touches(n) {
			s.begin(n)
			n.atFirst, n.begin, n.last = from.atFirst, from.begin, from.last
		}
		switch { // kinds are of the newest event alone
		case from.seq > n.seq:
			n.seq, n.kinds = from.seq, from.kinds
		case from.seq == n.seq:
			n.kinds |= from.kinds
		}
		n.ref, n.prevRef = max(n.ref, from.ref), max(n.prevRef, from.prevRef)
		n.begin, n.last, n.gap = min(n.begin, from.begin), max(n.last, from.last), max(n.gap, from.gap)
		n.present += from.present
		n.counts.add(from.counts)
		n.atFirst, n.atLast = min(n.atFirst, from.atFirst), max(n.atLast, from.atLast)
		for _, sample := range from.samples {
			if bit := uint8(1) << sample.kind; n.odd&bit == 0 {
				n.odd |= bit
				n.samples = append(n.samples, sample)
			}
		}
	}
	for _, kid := range from.kids {
		to := n.find([]byte(kid.segment.Name))
		if to == nil && !n.total.Folded && len(n.kids) < s.limits.Children {
			to = s.add(n, kid.segment)
		}
		if to != nil {
			s.merge(to, kid)
		}
	}
	if from.element != nil {
		if n.element == nil {
			n.element = s.add(n, Segment{Kind: IsElement})
		}
		if n.element != nil {
			s.merge(n.element, from.element)
		}
	}
	if from.wild != nil {
		if n.wild == nil {
			n.wild = s.add(n, Segment{Kind: IsWildcard})
		}
		if n.wild != nil {
			s.merge(n.wild, from.wild)
		}
	}
}

// merge adds another path's totals: as if both had been one path of one parent that
// was there as often as both parents were.
func (p *Path) merge(o Path) {
	length := p.LastAt - p.FirstAt + o.LastAt - o.FirstAt
	p.LastAt = max(p.LastAt, o.LastAt, length)
	p.FirstAt = p.LastAt - length
	p.Present += o.Present
	p.Counts.add(o.Counts)
	if p.FirstSeen.IsZero() || !o.FirstSeen.IsZero() && o.FirstSeen.Before(p.FirstSeen) {
		p.FirstSeen = o.FirstSeen
	}
	if o.LastSeen.After(p.LastSeen) {
		p.LastSeen, p.Form = o.LastSeen, o.Form
	}
	p.LongestGap = max(p.LongestGap, o.LongestGap)
	p.WindowPresent += o.WindowPresent
	p.WindowNulls += o.WindowNulls
}
