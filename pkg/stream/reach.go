package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Reach proves that a broker answers, for whoever uses the client for a short time
// only. All seeds are asked side by side, so one that takes connections and says
// nothing costs no time, and the client goes on with the one that answered first.
// An error names each seed with its own. ctx bounds it. It is called before the
// client is used.
func Reach(ctx context.Context, cl *kgo.Client) error {
	addresses, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	type answer struct {
		seed int
		err  error
	}
	seeds := cl.SeedBrokers()
	answers := make(chan answer, len(seeds))
	var group sync.WaitGroup
	defer group.Wait()
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, seed := range seeds {
		group.Go(func() {
			request := kmsg.NewPtrMetadataRequest()
			request.Topics = []kmsg.MetadataRequestTopic{} // none
			_, err := seed.Request(asking, request)
			answers <- answer{i, err}
		})
	}
	var problems []error
	for range seeds {
		a := <-answers
		switch {
		case a.err == nil && len(seeds) == 1:
			return nil
		case a.err == nil:
			return cl.UpdateSeedBrokers(addresses[a.seed])
		case len(seeds) == 1:
			return a.err
		}
		problems = append(problems, fmt.Errorf("%s: %w", addresses[a.seed], a.err))
	}
	return errors.Join(problems...)
}
