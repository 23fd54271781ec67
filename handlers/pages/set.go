package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed files
var embedded embed.FS

// Set is the pages of one server, parsed and tried. It is safe for concurrent use.
type Set struct {
	name   string
	pages  map[string]*template.Template
	assets map[string]Asset
	style  string // name of the stylesheet with its version
	logo   string
}

// Asset is a static file.
type Asset struct {
	Type string // media type
	Body []byte
	Tag  string // changes with the body
}

const (
	layoutFile = "layout.html"
	styleFile  = "style.css"
	scriptFile = "submit.js"
	iconFile   = "icon.svg"
	// defaultStyle is the stylesheet as it ships, for an overlay that imports it.
	defaultStyle = "default.css"
)

var assetTypes = map[string]string{
	styleFile: "text/css; charset=utf-8", defaultStyle: "text/css; charset=utf-8",
	scriptFile: "text/javascript; charset=utf-8",
	iconFile:   "image/svg+xml",
	"logo.svg": "image/svg+xml", "logo.png": "image/png",
}

// New parses the pages. overlay may be nil; what it holds replaces the file of
// the same name, and a file whose name has no meaning is an error, as is a page
// that does not parse or asks for data that its page does not have. name is the
// product's, shown on every page.
func New(overlay fs.FS, name string) (*Set, error) {
	base, err := fs.Sub(embedded, "files")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	s := &Set{name: name, pages: map[string]*template.Template{}, assets: map[string]Asset{}}
	read := func(file string) ([]byte, error) {
		if overlay != nil {
			b, err := fs.ReadFile(overlay, file)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return b, err
			}
		}
		return fs.ReadFile(base, file)
	}
	problems := []error{s.unknown(overlay)}
	for _, p := range samples() {
		problems = append(problems, s.parse(p, read))
	}
	problems = append(problems, s.collect(base, read))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return s, nil
}

// unknown names the files of an overlay that replace nothing: a typing error
// would otherwise go unseen.
func (s *Set) unknown(overlay fs.FS) error {
	if overlay == nil {
		return nil
	}
	known := []string{layoutFile, styleFile, iconFile, "logo.svg", "logo.png"}
	for _, p := range samples() {
		known = append(known, p.file())
	}
	slices.Sort(known)
	known = slices.Compact(known)
	entries, err := fs.ReadDir(overlay, ".")
	if err != nil {
		return fmt.Errorf("pages: read the overlay: %w", err)
	}
	var problems []error
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(known, e.Name()) {
			problems = append(problems, fmt.Errorf("pages: the overlay has %q, which replaces nothing; the names are %s", e.Name(), strings.Join(known, ", ")))
		}
	}
	return errors.Join(problems...)
}

// parse reads the page of a sample, once, and tries it.
func (s *Set) parse(p Page, read func(string) ([]byte, error)) error {
	file := p.file()
	if s.pages[file] == nil {
		t := template.New(layoutFile).Option("missingkey=error")
		for _, part := range []string{layoutFile, file} {
			text, err := read(part)
			if err != nil {
				return fmt.Errorf("pages: %s: %w", part, err)
			}
			into := t
			if part != layoutFile {
				into = t.New(part)
			}
			if _, err := into.Parse(string(text)); err != nil {
				return fmt.Errorf("pages: %s does not parse: %w", part, err)
			}
		}
		s.pages[file] = t
	}
	if err := s.Render(io.Discard, Site{Lang: "en", Assets: "/assets"}, p); err != nil {
		return fmt.Errorf("%w (tried with sample data)", err)
	}
	return nil
}

func (s *Set) collect(base fs.FS, read func(string) ([]byte, error)) error {
	for _, name := range []string{styleFile, scriptFile, iconFile, "logo.svg", "logo.png"} {
		body, err := read(name)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "logo.") {
			continue
		}
		if err != nil {
			return fmt.Errorf("pages: %s: %w", name, err)
		}
		s.add(name, body)
		if strings.HasPrefix(name, "logo.") && s.logo == "" {
			s.logo = name
		}
	}
	body, err := fs.ReadFile(base, styleFile)
	if err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	s.add(defaultStyle, body)
	s.style = styleFile + "?v=" + s.assets[styleFile].Tag
	return nil
}

func (s *Set) add(name string, body []byte) {
	sum := sha256.Sum256(body)
	s.assets[name] = Asset{Type: assetTypes[name], Body: body, Tag: hex.EncodeToString(sum[:6])}
}

// Asset returns a static file by its name.
func (s *Set) Asset(name string) (Asset, bool) {
	a, ok := s.assets[name]
	return a, ok
}

// Script is the name of the asset that submits a FormPost.
func (s *Set) Script() string { return scriptFile }

// Render writes a page. Of site it needs Lang and Assets; the rest it knows.
func (s *Set) Render(w io.Writer, site Site, p Page) error {
	t := s.pages[p.file()]
	if t == nil {
		return fmt.Errorf("pages: there is no page %s", p.file())
	}
	site.Name = s.name
	site.Style = path.Join(site.Assets, s.style)
	site.Icon = path.Join(site.Assets, iconFile+"?v="+s.assets[iconFile].Tag)
	if s.logo != "" {
		site.Logo = path.Join(site.Assets, s.logo)
	}
	var out bytes.Buffer // a page that fails half-way must not reach anybody
	if err := t.ExecuteTemplate(&out, layoutFile, struct {
		Site Site
		Page Page
	}{site, p}); err != nil {
		return fmt.Errorf("pages: %s: %w", p.file(), err)
	}
	_, err := out.WriteTo(w)
	return err
}

// Policy is the Content-Security-Policy of the pages. It has no form-action:
// browsers apply that to the redirects that follow a form and would break the way
// back to the client.
const Policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// scriptPolicy allows the one page that has a script to load it.
const scriptPolicy = Policy + "; script-src 'self'"

// Serve answers with a page and headers that keep it from being framed, cached or
// leaked.
func (s *Set) Serve(w http.ResponseWriter, status int, site Site, p Page) error {
	var out bytes.Buffer
	if err := s.Render(&out, site, p); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", Policy)
	if _, ok := p.(FormPost); ok {
		h.Set("Content-Security-Policy", scriptPolicy)
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := out.WriteTo(w)
	return err
}
