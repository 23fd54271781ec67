package pages

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// TestLoginsAreAsTheTemplateSays holds pages that are put together to what the template
// makes of the same, whoever's page was kept before.
func TestLoginsAreAsTheTemplateSays(t *testing.T) {
	s, err := New(Config{Name: "Example <Co>"})
	if err != nil {
		t.Fatal(err)
	}
	var all []Login
	for _, name := range []string{"Notes", `"><script>alert(1)</script>`, "{{.Action}}", "a & b", "/-_.?=", "עברית"} {
		for n := range 16 {
			all = append(all, Login{
				Client: Client{Name: name, FirstParty: n&1 > 0}, Reauth: n&2 > 0, AskRemember: n&4 > 0, Remember: n&8 > 0,
			})
		}
	}
	for i, action := range []string{
		"/oauth/interaction/dwi_AAAAAAA-_9zZ?step=login", "/other/interaction/dwi_b?step=login", "/a", "/", "",
		`/"><script>alert(1)</script>`, "/a&b+c'd", "javascript:alert(1)", "//evil.example/a", "/a b", "/ä", "/%22",
	} {
		for _, l := range []*Language{s.words.list[0], s.words.list[len(s.words.list)-1]} {
			for _, p := range all {
				p.Action = action
				assets := fmt.Sprint("/assets", i%2)
				var got, want bytes.Buffer
				if err := s.Render(&got, l, assets, p); err != nil {
					t.Fatal(err)
				}
				if err := s.execute(&want, l, assets, p); err != nil {
					t.Fatal(err)
				}
				if got.String() != want.String() {
					t.Fatalf("%+v in %s is\n%s\nwant\n%s", p, l.Tag(), got.String(), want.String())
				}
			}
		}
	}
	if n := len(s.logins.kept); n == 0 || n > mostLogins {
		t.Errorf("%d pages are kept, want at most %d", n, mostLogins)
	}
}

func TestWhatWasTypedIsNotKept(t *testing.T) {
	s, err := New(Config{Name: "Example"})
	if err != nil {
		t.Fatal(err)
	}
	clear(s.logins.kept) // the samples
	for _, p := range []Login{{Username: "alice"}, {Error: "The password is wrong."}} {
		p.Action = "/a"
		if err := s.Render(&bytes.Buffer{}, s.words.list[0], "/assets", p); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.logins.kept); n > 0 {
		t.Errorf("%d pages are kept", n)
	}
}

// TestLoginsOfAHost asks a template that is the host's for each page: it may do with the
// URL what it likes.
func TestLoginsOfAHost(t *testing.T) {
	const page = `{{define "title"}}x{{end}}{{define "content"}}{{len .Page.Action}} {{slice .Page.Action 1 2}}{{end}}`
	for file, overlay := range map[string]fstest.MapFS{
		"login.html":  {"login.html": {Data: []byte(page)}},
		"layout.html": {"layout.html": {Data: []byte(`{{.Site.Name}} {{with .Page}}{{template "content" $}}{{end}}`)}},
	} {
		s, err := New(Config{Name: "Example", Overlay: overlay})
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"/abc", "/xyzw"} {
			var out bytes.Buffer
			if err := s.Render(&out, s.words.list[0], "/assets", Login{Form: Form{Action: action}}); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%d %s", len(action), action[1:2]); file == "login.html" && !strings.Contains(out.String(), want) {
				t.Errorf("the page for %s lacks %q:\n%s", action, want, out.String())
			}
		}
		if s.logins != nil {
			t.Errorf("pages are kept though %s is the host's", file)
		}
	}
}
