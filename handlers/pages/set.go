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
	"net/url"
	"path"
	"slices"
	"strings"
)

//go:embed files
var embedded embed.FS

func shipped() (fs.FS, error) { return fs.Sub(embedded, "files") }

// Files returns the files that ship and that a Config.Overlay may replace, by their
// names: copy one, and change it.
func Files() (map[string][]byte, error) {
	base, err := shipped()
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	files := map[string][]byte{}
	err = fs.WalkDir(base, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || name == scriptFile {
			return err
		}
		files[name], err = fs.ReadFile(base, name)
		return err
	})
	return files, err
}

// Set is the pages of one server, parsed and tried. It is safe for concurrent use.
type Set struct {
	name   string
	words  *catalogue
	pages  map[string]*template.Template
	assets map[string]Asset
	style  string // name of the stylesheet with its version
	logo   string
	logins *logins // nil: the login page is the host's own
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

// Config is what a host changes about the pages.
type Config struct {
	Name        string // of the product, shown on every page
	Overlay     fs.FS  // replaces the files of the same names; nil: none
	Logo        []byte // an SVG or PNG, shown above every page; empty: none
	Light, Dark Colors // for light and dark screens
}

// FieldError says what can't stay in one field of a Config.
type FieldError struct {
	Field string // as in Light.Brand
	Found string // what was found there, with the reason why it can't stay
	Want  string // what to do
}

// Error names the field, what was found and what to do.
func (e *FieldError) Error() string {
	return "pages: " + e.Field + ": found " + e.Found + "; " + e.Want
}

// New parses the pages and the messages. A file of the overlay whose name has no
// meaning is an error, as is a page that does not parse or asks for what does not
// exist, and a message that does not fit its English one. Each page is tried with
// sample data in every language. Problems are joined with errors.Join; those of a
// colour and of the logo are each a *FieldError.
func New(c Config) (*Set, error) {
	base, err := shipped()
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	overlay := c.Overlay
	s := &Set{name: c.Name, pages: map[string]*template.Template{}, assets: map[string]Asset{}}
	if s.words, err = openCatalogue(base, overlay); err != nil {
		return nil, err
	}
	read := func(file string) ([]byte, error) {
		if overlay != nil {
			b, err := fs.ReadFile(overlay, file)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return b, err
			}
		}
		return fs.ReadFile(base, file)
	}
	colors, err := rebrand(c.Light, c.Dark)
	problems := []error{err, s.unknown(overlay)}
	for _, sample := range Samples(s.words.list[0]) {
		problems = append(problems, s.parse(sample.Page.file(), read))
	}
	problems = append(problems, s.collect(base, read, colors), s.setLogo(c.Logo))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if own, err := replaced(overlay, layoutFile, Login{}.file()); err != nil {
		return nil, err
	} else if !own {
		s.logins = newLogins()
	}
	tried := s.words.list
	if overlay == nil {
		tried = tried[:1] // nothing can be wrong that our own tests would not have found
	}
	return s, s.try(tried)
}

// replaced says whether the overlay has one of these files.
func replaced(overlay fs.FS, files ...string) (bool, error) {
	if overlay == nil {
		return false, nil
	}
	for _, file := range files {
		switch _, err := fs.Stat(overlay, file); {
		case err == nil:
			return true, nil
		case !errors.Is(err, fs.ErrNotExist):
			return false, fmt.Errorf("pages: %s: %w", file, err)
		}
	}
	return false, nil
}

// try executes every page with sample data.
func (s *Set) try(languages []*Language) error {
	var problems []error
	for _, l := range languages {
		for _, sample := range Samples(l) {
			if err := s.Render(io.Discard, l, "/assets", sample.Page); err != nil {
				problems = append(problems, fmt.Errorf("%w (tried with sample data)", err))
			}
		}
		if len(problems) > 0 {
			break // it is the same in the others
		}
	}
	return errors.Join(problems...)
}

// unknown names the files of an overlay that replace nothing: a typing error
// would otherwise go unseen.
func (s *Set) unknown(overlay fs.FS) error {
	if overlay == nil {
		return nil
	}
	known := []string{layoutFile, styleFile, iconFile, "logo.svg", "logo.png"}
	for _, sample := range Samples(s.words.list[0]) {
		known = append(known, sample.Page.file())
	}
	slices.Sort(known)
	known = slices.Compact(known)
	entries, err := fs.ReadDir(overlay, ".")
	if err != nil {
		return fmt.Errorf("pages: read the overlay: %w", err)
	}
	var problems []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() && e.Name() == messagesFolder || slices.Contains(known, e.Name()) {
			continue
		}
		problems = append(problems, fmt.Errorf("pages: the overlay has %q, which replaces nothing; the names are %s, and %s", e.Name(), strings.Join(known, ", "), messagesFolder))
	}
	return errors.Join(problems...)
}

// parse reads a page, once.
func (s *Set) parse(file string, read func(string) ([]byte, error)) error {
	if s.pages[file] != nil {
		return nil
	}
	t := template.New(layoutFile).Option("missingkey=error").Funcs(template.FuncMap{"strong": func(s string) strong { return strong(s) }})
	s.pages[file] = t
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
	return nil
}

// setLogo takes the logo of the host's configuration.
func (s *Set) setLogo(logo []byte) error {
	if len(logo) == 0 {
		return nil
	}
	name := "logo.svg"
	switch {
	case bytes.HasPrefix(logo, []byte("\x89PNG\r\n")):
		name = "logo.png"
	case !bytes.Contains(logo[:min(len(logo), 1024)], []byte("<svg")):
		return &FieldError{"Logo", "what is neither an SVG nor a PNG", "choose one that is"}
	}
	if s.logo != "" {
		return &FieldError{"Logo", "a logo, and " + s.logo + " among your own pages", "choose one of them"}
	}
	s.add(name, logo)
	s.logo = name
	return nil
}

func (s *Set) collect(base fs.FS, read func(string) ([]byte, error), colors string) error {
	for _, name := range []string{styleFile, scriptFile, iconFile, "logo.svg", "logo.png"} {
		body, err := read(name)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "logo.") {
			continue
		}
		if err != nil {
			return fmt.Errorf("pages: %s: %w", name, err)
		}
		if name == styleFile {
			body = append(slices.Clone(body), colors...)
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

// Name is the name of the product.
func (s *Set) Name() string { return s.name }

// Script is the name of the asset that submits a FormPost.
func (s *Set) Script() string { return scriptFile }

// Language returns the language that suits a person best: one of ui_locales, which
// the client says of them, in its order, else what the Accept-Language of their
// browser asks for, else English. OpenID Connect Core §3.1.2.1, RFC 4647 §3.4
func (s *Set) Language(uiLocales []string, acceptLanguage string) *Language {
	return s.words.choose(uiLocales, acceptLanguage)
}

// Languages are all languages of the pages, English first. RFC 5646
func (s *Set) Languages() []string {
	tags := make([]string, len(s.words.list))
	for i, l := range s.words.list {
		tags[i] = l.Tag()
	}
	return tags
}

// Data is what a page is executed with.
type Data struct {
	Site Site
	Page Page // the type of this page

	language *Language
}

// T is a message in the language of the page, as HTML. args are pairs of a
// placeholder's name and its value, as in {{$.T "login.lead" "client" .Client.Name}};
// the value may be (strong .Client.Name).
func (d Data) T(key string, args ...any) (template.HTML, error) {
	text, err := d.language.say(key, args, d.language.markup)
	return template.HTML(text), err // every part of it is escaped
}

// Text is T without markup, for titles and attributes.
func (d Data) Text(key string, args ...any) (string, error) {
	return d.language.say(key, args, d.language.isolated)
}

// Render writes a page in a language. assets is the URL path of the static files.
func (s *Set) Render(w io.Writer, l *Language, assets string, p Page) error {
	var out bytes.Buffer // a page that fails half-way must not reach anybody
	if err := s.render(&out, l, assets, p); err != nil {
		return err
	}
	_, err := out.WriteTo(w)
	return err
}

// render is Render into a buffer, which holds half a page after an error.
func (s *Set) render(out *bytes.Buffer, l *Language, assets string, p Page) error {
	execute := func(out *bytes.Buffer, p Page) error { return s.execute(out, l, assets, p) }
	if login, ok := s.logins.repeats(p); ok {
		return s.logins.render(out, l, assets, login, execute)
	}
	return execute(out, p)
}

func (s *Set) execute(out *bytes.Buffer, l *Language, assets string, p Page) error {
	t := s.pages[p.file()]
	if t == nil {
		return fmt.Errorf("pages: there is no page %s", p.file())
	}
	site := Site{
		Name: s.name, Lang: l.Tag(), Dir: l.Dir(), Assets: assets,
		Style: path.Join(assets, s.style),
		Icon:  path.Join(assets, iconFile+"?v="+s.assets[iconFile].Tag),
	}
	if s.logo != "" {
		site.Logo = path.Join(assets, s.logo+"?v="+s.assets[s.logo].Tag)
	}
	if err := t.ExecuteTemplate(out, layoutFile, Data{Site: site, Page: p, language: l}); err != nil {
		return fmt.Errorf("pages: %s in %s: %w", p.file(), l.Tag(), err)
	}
	return nil
}

// Policy is the Content-Security-Policy of the pages. It has no form-action:
// browsers apply that to the redirects that follow a form and would break the way
// back to the client.
const Policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// scriptPolicy allows the one page that has a script to load it.
const scriptPolicy = Policy + "; script-src 'self'"

// Serve answers with a page and headers that say its language and keep it from being
// framed, cached or leaked.
func (s *Set) Serve(w http.ResponseWriter, status int, l *Language, assets string, p Page) error {
	var out bytes.Buffer
	if err := s.render(&out, l, assets, p); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", Policy)
	switch p := p.(type) {
	case FormPost:
		h.Set("Content-Security-Policy", scriptPolicy)
	case SignedOut:
		if len(p.Frames) > 0 {
			h.Set("Content-Security-Policy", Policy+"; frame-src"+origins(p.Frames))
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Language", l.Tag())
	h.Add("Vary", "Accept-Language")
	w.WriteHeader(status)
	_, err := out.WriteTo(w)
	return err
}

// origins are those of the frames, each after a space. A host that could end the
// directive and begin another is left out, and its frame stays empty.
func origins(frames []Frame) string {
	var list []string
	for _, f := range frames {
		u, err := url.Parse(f.URL)
		if err != nil || u.Host == "" || strings.ContainsFunc(u.Host, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-:[]", r))
		}) {
			continue
		}
		if origin := " " + u.Scheme + "://" + u.Host; !slices.Contains(list, origin) {
			list = append(list, origin)
		}
	}
	if len(list) == 0 {
		return " 'none'"
	}
	return strings.Join(list, "")
}
