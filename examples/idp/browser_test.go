package main

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser is a person's browser, as far as the pages need one.
type browser struct {
	t    *testing.T
	http *http.Client
	at   *url.URL
	to   *url.URL // where a redirect that was not followed leads
	body string
	code int
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, http: &http.Client{Jar: jar, Timeout: 2 * time.Minute}}
}

func (b *browser) get(to string) *browser {
	b.t.Helper()
	resp, err := b.http.Get(to)
	return b.read(resp, err)
}

func (b *browser) post(to string, fields ...string) *browser {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, err := b.http.PostForm(to, form)
	return b.read(resp, err)
}

func (b *browser) read(resp *http.Response, err error) *browser {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.at, b.body, b.code = resp.Request.URL, string(body), resp.StatusCode
	b.to, _ = resp.Location()
	return b
}

var action = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// submit sends the first form of the page.
func (b *browser) submit(fields ...string) *browser {
	b.t.Helper()
	found := action.FindStringSubmatch(b.body)
	if found == nil {
		b.t.Fatalf("there is no form on %s:\n%s", b.at.Path, b.text())
	}
	to, err := b.at.Parse(html.UnescapeString(found[1]))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.post(to.String(), fields...)
}

var tag = regexp.MustCompile(`<[^>]*>`)

func (b *browser) text() string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(b.body, " "))), " ")
}

// sees fails the test unless all texts are on the page.
func (b *browser) sees(texts ...string) *browser {
	b.t.Helper()
	for _, text := range texts {
		if !strings.Contains(b.text(), text) {
			b.t.Fatalf("%q is not on %s (%d):\n%s", text, b.at, b.code, b.text())
		}
	}
	return b
}

// until asks for a page until a text is on it.
func (b *browser) until(page, text string) *browser {
	b.t.Helper()
	for range 600 { // a minute
		if b.get(page); strings.Contains(b.text(), text) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return b.sees(text)
}

// begin starts a sign-in at the demo application, goes no further, and returns its state.
func (b *browser) begin(issuer string) string {
	b.t.Helper()
	b.get(issuer + "/demo")
	follow := b.http.CheckRedirect
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { b.http.CheckRedirect = follow }()
	resp, err := b.http.PostForm(issuer+"/demo/login", nil)
	b.read(resp, err)
	to, err := resp.Location()
	if err != nil {
		b.t.Fatal(err)
	}
	return to.Query().Get("state")
}

// signIn goes from the demo application through login and consent and back.
func (b *browser) signIn(issuer, username, password string) *browser {
	b.t.Helper()
	b.get(issuer+"/demo").sees("Sign in with", "demo user").submit()
	b.sees("Sign in", "Demo application").submit("username", username, "password", password)
	return b.sees("Demo application", "See your name").submit("decision", "allow")
}
