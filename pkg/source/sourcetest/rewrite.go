package sourcetest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// decode reads JSON without loss of a number's digits.
func decode(raw []byte) (top any, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err = dec.Decode(&top)
	return top, err
}

// replaced gives raw with another value where the JSON pointer leads, white
// space and order of members changed. ok is false when it leads nowhere.
func replaced(raw []byte, pointer string, value any) (out []byte, ok bool) {
	top, err := decode(raw)
	if err != nil || !set(top, strings.Split(pointer, "/")[1:], value) {
		return nil, false
	}
	out, err = json.Marshal(top)
	return out, err == nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

func set(at any, path []string, value any) bool {
	token := unescape.Replace(path[0])
	switch at := at.(type) {
	case map[string]any:
		if _, there := at[token]; there && len(path) == 1 {
			at[token] = value
			return true
		}
		return at[token] != nil && set(at[token], path[1:], value)
	case []any:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(at) {
			return false
		}
		if len(path) == 1 {
			at[i] = value
			return true
		}
		return set(at[i], path[1:], value)
	}
	return false
}
