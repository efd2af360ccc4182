package main

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar shows how far the file is published, where a person looks; in a log it
// is silent.
type bar struct {
	tracker *progress.Tracker
	stop    func()
}

func newProgress(o options, source *input, errs io.Writer) *bar {
	b := &bar{tracker: &progress.Tracker{Message: filepath.Base(o.file), Total: source.size, Units: progress.UnitsBytes}, stop: func() {}}
	b.tracker.SetValue(source.at.Offset)
	if !terminal(errs) {
		return b
	}
	w := progress.NewWriter()
	w.SetOutputWriter(errs)
	w.SetUpdateFrequency(100 * time.Millisecond)
	w.SetAutoStop(true) // it ends with its tracker
	w.Style().Visibility.ETA = true
	w.Style().Visibility.Speed = true
	w.AppendTracker(b.tracker)
	var rendering sync.WaitGroup
	rendering.Go(w.Render)
	b.stop = sync.OnceFunc(func() {
		b.tracker.MarkAsErrored() // unless it is done
		rendering.Wait()
	})
	return b
}

func (b *bar) at(offset int64) { b.tracker.SetValue(offset) }

func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
