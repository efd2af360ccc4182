package looker

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// tileColumn is the column that a row of a dashboard has beside the report's own:
// the name of the tile's file.
const tileColumn = "tile"

// maxRowsBytes bounds the rows of another format as JSON: they are held whole, and
// a CSV's column names are repeated in each.
const maxRowsBytes = 2 * maxBody

// The bounds of an archive's and a table's form. Looker's dashboards have some dozen
// tiles, and its Explores some hundred columns.
const (
	maxEntries   = 500
	maxColumns   = 2000
	maxTileBytes = 200
)

// textRows makes the array of JSON objects that the rows of an attachment in
// another format than simple JSON are; nil for one that holds no rows we read.
func textRows(attachment rawjson.Value) ([]byte, error) {
	data, extension := attachment.Get("data"), strings.TrimPrefix(strings.ToLower(attachment.Get("extension").Text()), ".")
	switch {
	case data.Kind() == rawjson.Object:
		return detailRows(data)
	case extension == "csv" || extension == "txt" && strings.Contains(attachment.Get("mimetype").Text(), "csv"):
		out := rowWriter{}
		if err := out.csv(bytes.NewReader(data.TextBytes()), ""); err != nil {
			return nil, err
		}
		return out.array()
	case extension == "zip":
		return zipRows(data.TextBytes())
	case saysJSON(attachment.Get("mimetype").Text(), extension) && bytes.HasPrefix(bytes.TrimSpace(data.TextBytes()), []byte("{")):
		top, err := new(rawjson.Doc).ParseBody(bytes.TrimSpace(data.TextBytes()), 0)
		if err != nil {
			return nil, fmt.Errorf("reading attachment.data: %w", err)
		}
		return detailRows(top)
	}
	return nil, nil
}

// rowWriter writes an array of objects, up to maxRowsBytes and one row.
type rowWriter struct {
	text bytes.Buffer
	rows int
}

func (w *rowWriter) begin() error {
	if w.text.Len() > maxRowsBytes {
		return fault.Permanent(fault.Oversized, fmt.Errorf("the rows have more than %d bytes as JSON: schedule fewer rows, or choose \"JSON — Simple\"", maxRowsBytes))
	}
	if w.rows++; w.rows == 1 {
		w.text.WriteByte('[')
	} else {
		w.text.WriteByte(',')
	}
	return nil
}

func (w *rowWriter) array() ([]byte, error) {
	if w.rows == 0 {
		return []byte("[]"), nil
	}
	w.text.WriteByte(']')
	return w.text.Bytes(), nil
}

// csv adds the rows of a file, whose first line names the columns. tile is a
// dashboard's, or "".
func (w *rowWriter) csv(file io.Reader, tile string) error {
	reader := csv.NewReader(file)
	reader.FieldsPerRecord, reader.ReuseRecord = -1, false
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if err := checkHeader(header); err != nil {
			return err
		}
	}
	for err == nil {
		var cells []string
		if cells, err = reader.Read(); err != nil {
			break
		}
		if len(cells) != len(header) {
			return source.Malformed("row %d of the csv has %d cells, its header %d", w.rows+1, len(cells), len(header))
		}
		if err := w.begin(); err != nil {
			return err
		}
		w.object(header, cells, tile)
	}
	if !errors.Is(err, io.EOF) {
		return source.Malformed("the csv cannot be read: %w", err)
	}
	return nil
}

// checkHeader takes the mark of the byte order off the names, and refuses two of one
// name: which of their cells would count?
func checkHeader(header []string) error {
	if len(header) > maxColumns {
		return fault.Permanent(fault.Oversized, fmt.Errorf("the csv has %d columns, the bound is %d", len(header), maxColumns))
	}
	seen := make(map[string]bool, len(header))
	for i, name := range header {
		name = strings.ToValidUTF8(strings.TrimPrefix(name, "\ufeff"), "\ufffd")
		if seen[name] {
			return source.Malformed("two columns of the csv are named %.40q", name)
		}
		header[i], seen[name] = name, true
	}
	return nil
}

// object writes a row. An empty cell is null, which it is in Looker's JSON.
func (w *rowWriter) object(header, cells []string, tile string) {
	w.text.WriteByte('{')
	for i, name := range header {
		if i > 0 {
			w.text.WriteByte(',')
		}
		w.text.Write(quoted(name))
		w.text.WriteByte(':')
		if cells[i] == "" {
			w.text.WriteString("null")
		} else {
			w.text.Write(quoted(cells[i]))
		}
	}
	if tile != "" && !slices.Contains(header, tileColumn) {
		fmt.Fprintf(&w.text, `,%s:%s`, quoted(tileColumn), quoted(tile))
	}
	w.text.WriteByte('}')
}

func quoted(text string) []byte {
	out, err := json.Marshal(strings.ToValidUTF8(text, "\ufffd"))
	if err != nil { // a string always can be marshalled
		return []byte(`""`)
	}
	return out
}

// zipRows reads a dashboard: a zip in base64 with one csv for each tile.
func zipRows(text []byte) ([]byte, error) {
	file := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(file, text)
	if err != nil {
		return nil, source.Malformed("the zip is not in base64")
	}
	archive, err := zip.NewReader(bytes.NewReader(file[:n]), int64(n))
	if err != nil {
		return nil, source.Malformed("the zip cannot be read: %w", err)
	}
	if n := len(archive.File); n > maxEntries {
		return nil, fault.Permanent(fault.Oversized, fmt.Errorf("the zip has %d files, the bound is %d", n, maxEntries))
	}
	var out rowWriter
	tiles := 0
	left := int64(maxRowsBytes)
	for _, entry := range archive.File {
		// A name is a text of a column, and no path: nothing is written anywhere.
		name, isCSV := strings.CutSuffix(path.Base(strings.ReplaceAll(entry.Name, `\`, "/")), ".csv")
		if !isCSV {
			continue
		}
		if len(name) > maxTileBytes {
			return nil, source.Malformed("a file of the zip has a name of %d bytes", len(name))
		}
		tiles++
		content, err := entry.Open()
		if err != nil {
			return nil, source.Malformed("a file of the zip cannot be read: %w", err)
		}
		// What is declared as its size is the sender's word; what comes counts.
		limited := &io.LimitedReader{R: content, N: left + 1}
		err = out.csv(limited, name)
		content.Close()
		if left = limited.N - 1; left < 0 {
			return nil, fault.Permanent(fault.Oversized, fmt.Errorf("the files of the zip have more than %d bytes", maxRowsBytes))
		}
		if err != nil {
			return nil, err
		}
	}
	if tiles == 0 {
		return nil, nil
	}
	return out.array()
}

// detailRows reads "JSON — Detailed": each cell is an object with its value. A
// pivoted cell, which has one object for each pivot, stays as it is.
func detailRows(top rawjson.Value) ([]byte, error) {
	data := top.Get("data")
	if !top.Get("fields").Exists() || data.Kind() != rawjson.Array {
		return nil, nil
	}
	var out rowWriter
	for _, row := range data.Elements() {
		if err := out.begin(); err != nil {
			return nil, err
		}
		if row.Kind() != rawjson.Object {
			out.text.Write(row.Bytes())
			continue
		}
		separator := byte('{')
		for name, cell := range row.Members() {
			if value := cell.Get("value"); value.Exists() {
				cell = value
			}
			out.text.WriteByte(separator)
			out.text.Write(quoted(name))
			out.text.WriteByte(':')
			out.text.Write(cell.Bytes())
			separator = ','
		}
		if separator == '{' {
			out.text.WriteByte('{')
		}
		out.text.WriteByte('}')
	}
	return out.array()
}
