package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
)

const (
	// heartbeat is how often a silent stream says that it lives: proxies end what says nothing for a minute.
	heartbeat = 15 * time.Second
	// writeTime bounds one write: a client that does not read is dropped, and comes back with its Last-Event-ID.
	writeTime = 10 * time.Second
)

// live is the answer of streamLive.
type live struct {
	events <-chan backend.TailEvent
	stop   func()
}

// liveEvent is the data of an event.
type liveEvent struct {
	api.EventLine
	AccountID   uuid.UUID `json:"account_id"`
	AccountName string    `json:"account_name"`
}

// VisitStreamLiveResponse writes events until the client goes, or the backend ends.
func (l live) VisitStreamLiveResponse(w http.ResponseWriter) error {
	defer func() {
		l.stop()
		for range l.events {
		}
	}()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx
	w.WriteHeader(http.StatusOK)
	write := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // not every writer has one
		if _, err := fmt.Fprint(w, text); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !write(": live\nretry: 2000\n\n") {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case e, ok := <-l.events:
			if !ok || !write(eventText(e)) {
				return nil
			}
		case <-beat.C:
			if !write(": \n\n") {
				return nil
			}
		}
	}
}

func eventText(e backend.TailEvent) string {
	name, data := "event", any(liveEvent{e.Event, e.AccountID, e.AccountName})
	if e.Skipped > 0 {
		name, data = "skipped", map[string]int64{"skipped": e.Skipped}
	}
	text, _ := json.Marshal(data) // texts, numbers and times: JSON has no line breaks
	return fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", name, e.ID, text)
}
