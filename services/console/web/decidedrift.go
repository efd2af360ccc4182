package web

import (
	"github.com/a-h/templ"
)

func (s *server) askDrift(p *page) (templ.Component, error) {
	if err := p.asks("Acknowledge", "drift"); err != nil {
		return nil, err
	}
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Acknowledge finding " + itoa(id) + "?", path: "/decide/drift", hidden: [][2]string{{"id", itoa(id)}}, verb: "Acknowledge", reason: true, back: p.link("/drift"),
		effect: []string{"It is no longer open, and nobody is told of it again."}}), nil
}

func (s *server) doDrift(p *page) (templ.Component, error) {
	return s.byNumber(p, "/drift", func(id int64, reason string) error {
		_, err := s.Backend.AcknowledgeDrift(p.r.Context(), id, reason)
		return err
	})
}
