package pages

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// Preview shows every page with sample data, in every language by ?lang=de, so that
// who changes them sees what people will see. It is for the machine of a developer:
// it takes nothing, and its forms lead nowhere.
func (s *Set) Preview() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", s.previewList)
	routes.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) {
		a, ok := s.Asset(r.PathValue("name"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", a.Type)
		_, _ = w.Write(a.Body) // the browser is gone: there is nobody to tell
	})
	routes.HandleFunc("GET /{page}", func(w http.ResponseWriter, r *http.Request) {
		l := s.Language([]string{r.URL.Query().Get("lang")}, r.Header.Get("Accept-Language"))
		for _, sample := range Samples(l) {
			if sample.Name != r.PathValue("page") {
				continue
			}
			if err := s.Serve(w, http.StatusOK, l, "/assets", sample.Page); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		http.NotFound(w, r)
	})
	return routes
}

func (s *Set) previewList(w http.ResponseWriter, _ *http.Request) {
	var out strings.Builder
	fmt.Fprintf(&out, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Pages of %[1]s</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/%[2]s"><main class="card"><h1>Pages of %[1]s</h1><ul class="entries">`,
		html.EscapeString(s.name), html.EscapeString(s.style))
	for _, sample := range Samples(s.words.list[0]) {
		fmt.Fprintf(&out, `<li><strong>%s</strong>`, sample.Name)
		for _, tag := range s.Languages() {
			fmt.Fprintf(&out, ` <a href="/%s?lang=%s">%s</a>`, sample.Name, tag, tag)
		}
		out.WriteString(`</li>`)
	}
	out.WriteString(`</ul></main></html>`)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(out.String())) // the browser is gone: there is nobody to tell
}
