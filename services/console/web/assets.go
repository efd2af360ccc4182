package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/a-h/templ"
)

// What is not made on the server, by hand: there is no build step.
//
//go:embed assets
var assetFiles embed.FS

// asset is one file as it is served.
type asset struct {
	body, zipped []byte
	contentType  string
}

// assets are the files by the name that holds a hash of their content, so that browsers keep them forever.
type assets struct {
	base   string
	hashed map[string]string // app.css → app.0123456789ab.css
	files  map[string]asset
}

func readAssets(base string) assets {
	a := assets{base: base, hashed: map[string]string{}, files: map[string]asset{}}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // it is in the program
	}
	for _, e := range entries {
		body, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is valid
		_, _ = z.Write(body)                                       // a buffer takes everything
		_ = z.Close()
		contentType := mime.TypeByExtension(ext)
		if ext == ".js" {
			contentType = "text/javascript; charset=utf-8"
		}
		a.hashed[e.Name()] = name
		a.files[name] = asset{body: body, zipped: zipped.Bytes(), contentType: contentType}
	}
	return a
}

// url gives where a file is.
func (a assets) url(name string) templ.SafeURL {
	return templ.SafeURL(a.base + "/assets/" + a.hashed[name])
}

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.PathValue("name")]
	if !ok {
		http.Error(w, "there is no such file: the console was upgraded, load the page again", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := f.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && len(f.zipped) < len(f.body) {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	w.Write(body)
}
