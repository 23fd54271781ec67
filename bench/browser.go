package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// browser walks from an authorize request to the redirect URI as a person's would: it
// keeps cookies, follows redirects within the provider and fills in the forms it meets.
type browser struct {
	wire    *wire
	cookies []cookie
	name    string // who signs in where a login is asked for; empty: nobody
	secret  string
	pages   int // that were filled in since the last request
}

type cookie struct{ name, value, path string }

// steps is how many requests one authorization may take.
const steps = 20

const navigation = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"

// authorize opens an authorize request and returns the query of the redirect to the
// client. RFC 6749 §4.1.2
func (b *browser) authorize(target, redirectURI string) (url.Values, error) {
	b.pages = 0
	a, err := b.get(target)
	for range steps {
		if err != nil {
			return nil, err
		}
		switch {
		case a.status >= 300 && a.status < 400 && strings.HasPrefix(a.location, redirectURI):
			u, err := url.Parse(a.location)
			if err != nil {
				return nil, err
			}
			return u.Query(), nil
		case a.status >= 300 && a.status < 400 && a.location != "":
			if target, err = b.resolve(target, a.location); err == nil {
				a, err = b.get(target)
			}
		case a.status == http.StatusOK && b.name != "":
			a, err = b.fill(target, a.body)
		default:
			return nil, fmt.Errorf("%s answered %d, no redirect to the client: %.200s", target, a.status, a.body)
		}
	}
	return nil, fmt.Errorf("the sign-in did not end after %d requests", steps)
}

func (b *browser) get(target string) (*answer, error) {
	a, err := b.wire.send("GET", target, navigation+b.cookieLine(target), "")
	if err == nil {
		b.keep(target, a)
	}
	return a, err
}

// fill sends the form of a page. target is where the page came from.
func (b *browser) fill(target string, page []byte) (*answer, error) {
	b.pages++
	action, fields, err := readForm(page, b.name, b.secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", target, err, page)
	}
	to, err := b.resolve(target, action)
	if err != nil {
		return nil, err
	}
	header := navigation + "Origin: " + b.wire.origin + "\r\nSec-Fetch-Site: same-origin\r\n" + b.cookieLine(to)
	a, err := b.wire.send("POST", to, header, fields.Encode())
	if err == nil {
		b.keep(to, a)
	}
	return a, err
}

// resolve returns the target that a reference on the page of another one leads to.
// RFC 3986 §5.2
func (b *browser) resolve(from, reference string) (string, error) {
	if to, err := b.wire.target(reference); err == nil {
		return to, nil // by far most are complete
	}
	at, err := url.Parse(b.wire.origin + from)
	if err != nil {
		return "", err
	}
	if at, err = at.Parse(reference); err != nil {
		return "", err
	}
	return b.wire.target(at.String())
}

// readForm returns the first form of a page with a name and a password in its fields.
// Where it has no such fields, as on a consent page, its first button is pressed.
func readForm(page []byte, name, secret string) (action string, fields url.Values, err error) {
	fields = url.Values{}
	z := html.NewTokenizer(bytes.NewReader(page))
	within, pressed := false, false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return "", nil, errors.New("the page has no form")
		case html.EndTagToken:
			if tag, _ := z.TagName(); within && string(tag) == "form" {
				return action, fields, nil
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "form":
				within, action = true, attribute(t, "action")
			case "input", "button":
				field := attribute(t, "name")
				if !within || field == "" {
					continue
				}
				kind := attribute(t, "type")
				switch {
				case kind == "password":
					fields.Set(field, secret)
				case kind == "text" || kind == "email" || kind == "" && t.Data == "input":
					fields.Set(field, name)
				case kind == "hidden":
					fields.Set(field, attribute(t, "value"))
				case (kind == "submit" || t.Data == "button") && !pressed:
					fields.Set(field, attribute(t, "value"))
					pressed = true
				}
			}
		}
	}
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// keep puts away the cookies of an answer. RFC 6265 §5.3
func (b *browser) keep(target string, a *answer) {
	for _, line := range a.cookies {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			continue // as browsers do
		}
		path := c.Path
		if path == "" {
			path, _, _ = strings.Cut(target, "?")
			path = path[:max(1, strings.LastIndexByte(path, '/'))]
		}
		ended := c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now())
		kept := b.cookies[:0]
		for _, old := range b.cookies {
			if old.name != c.Name || old.path != path {
				kept = append(kept, old)
			}
		}
		if b.cookies = kept; !ended {
			b.cookies = append(b.cookies, cookie{c.Name, c.Value, path})
		}
	}
}

func (b *browser) cookieLine(target string) string {
	line := ""
	for _, c := range b.cookies {
		if c.path != "/" && !strings.HasPrefix(target, c.path) {
			continue
		}
		if line != "" {
			line += "; "
		}
		line += c.name + "=" + c.value
	}
	if line == "" {
		return ""
	}
	return "Cookie: " + line + "\r\n"
}
