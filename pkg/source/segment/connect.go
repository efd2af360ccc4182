package segment

import "github.com/throughline-dev/throughline/pkg/source"

var _ source.Connector = segment{}

// Steps implements source.Connector. Segment's Public API, which could make the
// destination, shows neither mappings' headers nor deliveries, so a person does it.
// Facts: segmentio/segment-docs, connections/destinations/catalog/actions-webhook.
func (segment) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "Connections → Catalog → Destinations: add Webhooks (Actions) to the source whose events you want, one destination for each source."},
		{Text: "Settings → Shared Secret: a long random text (openssl rand -hex 32), which THROUGHLINE_SEGMENT_SECRETS takes."},
		{Text: "Mappings → New Mapping → Send, with this condition in place of the suggested one: all six calls.", Paste: `type = "track" or type = "identify" or type = "group" or type = "page" or type = "screen" or type = "alias"`},
		{Text: "In the mapping the URL is this address, the method POST, and Data the whole event, $event, as it is suggested.", Paste: address},
		{Text: "For batches (Enable Batching): another long random text in the mapping's Headers, and behind the first in THROUGHLINE_SEGMENT_SECRETS. Segment signs a batch's first event only, so that a batch without the header is refused.", Paste: tokenHeader + ": <the second random text>"},
		{Text: "Enable the mapping and the destination. If none but your own servers have the write keys of the connected sources, set THROUGHLINE_SEGMENT_GROUPS=trusted, so that a groupId names an account."},
	}
}
