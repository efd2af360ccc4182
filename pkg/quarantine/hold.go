package quarantine

import "time"

// HoldOff says how long a record that a link released, and that came back
// unresolved, is held off: First, and twice as long each time, up to Most. It
// happens when the services' rules differ. What is held off is the ruling that
// failed: another one, a new link's message and a person release the record at
// once.
type HoldOff struct{ First, Most time.Duration }

// DefaultHoldOff is a store's when nobody says otherwise.
func DefaultHoldOff() HoldOff { return HoldOff{First: 30 * time.Second, Most: time.Hour} }

// after gives the hold-off of a record that links have released so often.
func (h HoldOff) after(releases int) time.Duration {
	hold := h.First
	for range releases - 1 {
		if hold *= 2; hold >= h.Most {
			return h.Most
		}
	}
	return min(hold, h.Most)
}
