package pages

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestOverlay(t *testing.T) {
	for _, c := range []struct {
		name    string
		overlay fstest.MapFS
		wrong   string // part of the error; empty: it is right
	}{
		{"nothing", fstest.MapFS{}, ""},
		{"one page", fstest.MapFS{"login.html": {Data: []byte(`{{define "title"}}x{{end}}{{define "content"}}<form action="{{.Page.Action}}">{{end}}`)}}, ""},
		{"a style and a logo", fstest.MapFS{"style.css": {Data: []byte(`@import "default.css";`)}, "logo.svg": {Data: []byte(`<svg/>`)}}, ""},
		{"a page that does not parse", fstest.MapFS{"error.html": {Data: []byte(`{{define "title"}}`)}}, "error.html does not parse"},
		{"a page that asks for what it does not get", fstest.MapFS{"consent.html": {Data: []byte(`{{define "title"}}x{{end}}{{define "content"}}{{.Page.Clinet}}{{end}}`)}}, "Clinet"},
		{"a page that lacks a part", fstest.MapFS{"login.html": {Data: []byte(`{{define "title"}}x{{end}}`)}}, `"content"`},
		{"a name with no meaning", fstest.MapFS{"sign-in.html": {Data: []byte(`x`)}}, `"sign-in.html", which replaces nothing`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Config{Overlay: c.overlay, Name: "Example"})
			if c.wrong == "" && err != nil {
				t.Fatal(err)
			}
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Fatalf("the error is %v, want one that says %q", err, c.wrong)
			}
		})
	}
}

func TestEveryPageStandsInTheFrame(t *testing.T) {
	s, err := New(Config{Name: "Example <Co>"})
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range Samples(s.Language(nil, "")) {
		p := sample.Page
		var out bytes.Buffer
		if err := s.Render(&out, s.Language(nil, ""), "/auth/oauth/assets", p); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`<html lang="en" dir="ltr">`, `<h1>`, "Example &lt;Co&gt;", `href="/auth/oauth/assets/style.css?v=`, `<main `} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %s:\n%s", p.file(), want, out.String())
			}
		}
		for _, bad := range []string{"ZgotmplZ", "style=", "onload", "<script>"} {
			if strings.Contains(out.String(), bad) {
				t.Errorf("%s holds %s:\n%s", p.file(), bad, out.String())
			}
		}
	}
}

func TestWhatIsShownIsText(t *testing.T) {
	s, err := New(Config{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	const evil = `"><script>alert(1)</script>`
	for _, p := range []Page{
		Login{Username: evil, Error: evil, Client: Client{Name: evil}},
		Consent{Client: Client{Name: evil, Host: evil}, Account: evil, Scopes: []Scope{{Description: evil}}},
		Error{Title: evil, Message: evil, Advice: evil, Detail: evil, RequestID: evil},
		FormPost{Client: evil, URL: "https://a.example", Fields: []Field{{evil, evil}}},
	} {
		var out bytes.Buffer
		if err := s.Render(&out, s.Language(nil, ""), "", p); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "<script>alert") {
			t.Errorf("%s lets markup through:\n%s", p.file(), out.String())
		}
	}
}

func TestAssets(t *testing.T) {
	s, err := New(Config{Overlay: fstest.MapFS{"style.css": {Data: []byte("a{}")}, "logo.png": {Data: []byte("png")}}, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"style.css": "a{}", "logo.png": "png"} {
		if a, ok := s.Asset(name); !ok || string(a.Body) != want || a.Type == "" {
			t.Errorf("%s is %q (%s)", name, a.Body, a.Type)
		}
	}
	if a, ok := s.Asset("default.css"); !ok || !strings.Contains(string(a.Body), "--brand") {
		t.Error("the stylesheet as it ships can't be imported")
	}
	for _, name := range []string{"login.html", "../set.go", "", "logo.svg"} {
		if _, ok := s.Asset(name); ok {
			t.Errorf("%q is served", name)
		}
	}
	if err := s.Render(io.Discard, s.Language(nil, ""), "", Login{}); err != nil {
		t.Fatal(err)
	}
}

// sourcesOf is the text of all files in some folders.
func sourcesOf(t *testing.T, folders ...string) string {
	t.Helper()
	var all strings.Builder
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}
