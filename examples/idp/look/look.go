// Package look gives the pages of the example the look of the server's own: their
// stylesheet with a few additions, and a strict policy.
package look

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/doorward/doorward/handlers/pages"
)

//go:embed files
var files embed.FS

// Site is what every page is told, as .Site.
type Site struct {
	Name  string
	Style string // URL of the server's stylesheet
	Icon  string // URL of the server's icon
	Logo  string // URL of the logo; empty: none
	Extra string // URL of the additions, Stylesheet
	Home  string // URL of the front page
}

// Set is a set of pages.
type Set struct {
	site  Site
	pages map[string]*template.Template
}

// New parses the pages in folder of from, each one file that defines "title" and
// "content".
func New(site Site, from fs.FS, folder string) (*Set, error) {
	layout, err := template.ParseFS(files, "files/layout.html")
	if err != nil {
		return nil, fmt.Errorf("look: %w", err)
	}
	entries, err := fs.ReadDir(from, folder)
	if err != nil {
		return nil, fmt.Errorf("look: %w", err)
	}
	s := &Set{site: site, pages: map[string]*template.Template{}}
	for _, e := range entries {
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(from, folder+"/"+e.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("look: %w", err)
		}
		s.pages[e.Name()] = page
	}
	return s, nil
}

// Serve answers with a page; data is its .Page.
func (s *Set) Serve(w http.ResponseWriter, status int, name string, data any) error {
	var out bytes.Buffer // a page that fails half-way must not reach anybody
	page := s.pages[name]
	if page == nil {
		return fmt.Errorf("look: there is no page %s", name)
	}
	if err := page.ExecuteTemplate(&out, "layout.html", struct {
		Site Site
		Page any
	}{s.site, data}); err != nil {
		return fmt.Errorf("look: %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pages.Policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // so that a form says where it comes from
	w.WriteHeader(status)
	_, err := out.WriteTo(w)
	return err
}

// Stylesheet serves the additions to the server's stylesheet.
func Stylesheet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, files, "files/extra.css")
}
