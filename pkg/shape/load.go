package shape

// Load replaces all totals by those that are stored, of which an object comes before its members. What
// was observed since the last Settle stays: of an object that it made a map of, what is stored of members
// becomes part of the *, and they are gone.
func (s *Shape) Load(stored []Path) error {
	s.endRun()
	s.clear(s.root)
	s.gone = nil
	for _, p := range stored {
		segments, err := Parse(p.Path)
		if err != nil {
			return err
		}
		n, gone := s.root, false
		for _, segment := range segments {
			if segment.Kind == IsName && n.total.Folded {
				segment, gone = Segment{Kind: IsWildcard}, true
			}
			if n = s.step(n, segment); n == nil {
				break
			}
		}
		if n == nil {
			continue // it was stored with larger limits
		}
		if gone {
			s.gone = append(s.gone, p.Path)
		}
		folded := n.total.Folded
		if n.known { // by another member
			n.total.merge(p)
		} else {
			path := n.total.Path
			n.total, n.known = p, true
			n.total.Path = path
		}
		switch {
		case folded:
			n.total.Folded = true
		case p.Folded:
			s.fold(n)
		}
	}
	return nil
}

func (s *Shape) step(n *node, segment Segment) *node {
	switch segment.Kind {
	case IsElement:
		if n.element == nil {
			n.element = s.add(n, segment)
		}
		return n.element
	case IsWildcard:
		if n.wild == nil {
			n.wild = s.add(n, segment)
		}
		return n.wild
	default:
		if kid := n.find([]byte(segment.Name)); kid != nil {
			return kid
		}
		return s.add(n, segment)
	}
}

func (s *Shape) clear(n *node) {
	n.total, n.known = Path{Path: n.total.Path, Folded: n.total.Folded}, false
	for _, kid := range n.below() {
		s.clear(kid)
	}
}
