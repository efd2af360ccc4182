package rawjson_test

import (
	"fmt"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

func ExampleDoc_Parse() {
	var doc rawjson.Doc // kept and used again
	event, err := doc.Parse([]byte(`{"id":"evt_1","created":1760000000,"data":{"object":{"customer":"cus_1"}}}`))
	if err != nil {
		panic(err)
	}
	created, _ := event.Get("created").Int()
	fmt.Println(event.Get("id").Text(), created, event.At("data", "object", "customer").Text())
	_, err = doc.Parse([]byte(`{"id":"evt_1","data":{"a":1,"a":2}}`))
	fmt.Println(err)
	// Output:
	// evt_1 1760000000 cus_1
	// not valid JSON: duplicate name at byte 28 (/data/a)
}

func ExampleDoc_ParseBody() {
	var page, event rawjson.Doc
	list, err := page.ParseBody([]byte(`{"data":[{"id":"evt_1"},{"id":"\ud800"},7]}`), 2)
	if err != nil {
		panic(err)
	}
	for i, e := range list.Get("data").Elements() {
		v, err := event.Parse(e.Bytes())
		fmt.Println(i, v.Get("id").Text(), err)
	}
	// Output:
	// 0 evt_1 <nil>
	// 1  a text with a lone surrogate, which Postgres refuses, at byte 7 (/id)
	// 2  the event is a JSON number, not an object
}
