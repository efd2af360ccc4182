package source

import "github.com/throughline-dev/throughline/pkg/rawjson"

// CheckJSON holds one record against what the timeline can store: see
// rawjson.Doc.Parse. Who goes on to describe the record calls Keyed instead.
func CheckJSON(raw []byte) error {
	doc := docs.Get().(*rawjson.Doc)
	defer docs.Put(doc)
	_, err := doc.Parse(raw)
	return err
}
