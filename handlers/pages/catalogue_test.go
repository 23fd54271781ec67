package pages

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, overlay fstest.MapFS) *Set {
	t.Helper()
	s, err := New(Config{Name: "Example", Overlay: overlay})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCatalogues holds every language to the keys and placeholders of English, with
// nothing inherited.
func TestCatalogues(t *testing.T) {
	base, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	all, err := readMessages(base)
	if err != nil {
		t.Fatal(err)
	}
	english := open(t, nil).words.list[0].messages
	for tag, messages := range all {
		l := &Language{tag: tag, messages: messages}
		for _, problem := range l.judge(english) {
			t.Error(problem)
		}
		if len(messages) != len(english) {
			t.Errorf("%s has %d messages, English %d", tag, len(messages), len(english))
		}
	}
	if d := cmp.Diff([]string{"en", "ar", "de", "es", "fr", "ja"}, open(t, nil).Languages()); d != "" {
		t.Error(d)
	}
}

// TestMessagesAreUsed finds messages that no page and no handler shows.
func TestMessagesAreUsed(t *testing.T) {
	sources := sourcesOf(t, ".", "files", "..")
	for key := range open(t, nil).words.list[0].messages {
		if !strings.HasPrefix(key, "scope.") && !strings.HasPrefix(key, "claim.") && !strings.HasPrefix(key, "month.") && !strings.Contains(sources, `"`+key+`"`) {
			t.Errorf("nothing shows the message %q", key)
		}
	}
}

// RFC 4647 §3.4, RFC 5646, OpenID Connect Core §3.1.2.1
func TestLanguage(t *testing.T) {
	s := open(t, nil)
	for _, c := range []struct {
		ui     []string
		accept string
		want   string
		dir    string
	}{
		{nil, "", "en", "ltr"},
		{[]string{"de"}, "fr", "de", "ltr"},
		{[]string{"de-AT"}, "", "de", "ltr"},
		{[]string{"xx", "fr-CA", "en"}, "", "fr", "ltr"},
		{[]string{"kw"}, "ar", "ar", "rtl"},
		{[]string{"not a tag", ""}, "ja;q=0.9,en;q=0.1", "ja", "ltr"},
		{nil, "en;q=0.3, es-MX;q=0.8", "es", "ltr"},
		{nil, "zh-Hant", "en", "ltr"},
		{nil, "garbage;;q=x", "en", "ltr"},
		{nil, "*", "en", "ltr"},
	} {
		l := s.Language(c.ui, c.accept)
		if l.Tag() != c.want || l.Dir() != c.dir {
			t.Errorf("%q and %q lead to %s (%s), want %s (%s)", c.ui, c.accept, l.Tag(), l.Dir(), c.want, c.dir)
		}
	}
}

// Unicode Standard Annex #9 §2.4
func TestSay(t *testing.T) {
	s := open(t, nil)
	for _, c := range []struct {
		tag, key string
		args     []any
		want     string
	}{
		{"en", "login.slow.minutes", []any{"n", 1}, "There were too many wrong tries. Please wait 1 minute, then try again."},
		{"en", "login.slow.minutes", []any{"n", 15}, "There were too many wrong tries. Please wait 15 minutes, then try again."},
		{"fr", "device.slow", []any{"n", 1}, "Il y a eu trop de codes erronés. Veuillez attendre 1 minute, puis réessayer."},
		{"ar", "device.slow", []any{"n", 2}, "كانت هناك رموز خاطئة كثيرة. يُرجى الانتظار دقيقتين ثم المحاولة مرة أخرى."},
		{"en", "return.link", []any{"client", "Notes"}, "Return to Notes"},
		{"en", "return.link", []any{"client", "دفتر"}, "Return to \u2068دفتر\u2069"},
		{"en", "no.such", nil, "no.such"},
	} {
		if got := s.Language([]string{c.tag}, "").Say(c.key, c.args...); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.key, c.tag, got, c.want)
		}
	}
}

func TestOwnMessages(t *testing.T) {
	file := func(text string) fstest.MapFS { return fstest.MapFS{"messages/de.json": {Data: []byte(text)}} }
	s := open(t, file(`{"login.title": "Willkommen", "scope.notes:read": "Ihre Notizen lesen"}`))
	de := s.Language([]string{"de"}, "")
	if got := de.Say("login.title") + "/" + de.Say("login.password"); got != "Willkommen/Passwort" {
		t.Error(got)
	}
	for _, c := range []struct{ tag, name, described, want string }{
		{"de", "notes:read", "Read your notes", "Ihre Notizen lesen"},
		{"fr", "notes:read", "Read your notes", "Read your notes"},
		{"fr", "notes:write", "", "notes:write"},
		{"de", "email", "", "Ihre E-Mail-Adresse sehen"},
		{"de", "email", "See where we write to", "See where we write to"},
	} {
		if got := s.Language([]string{c.tag}, "").Scope(c.name, c.described); got != c.want {
			t.Errorf("%s in %s is %q, want %q", c.name, c.tag, got, c.want)
		}
	}
	if swiss := open(t, fstest.MapFS{"messages/de-CH.json": {Data: []byte(`{"login.cancel": "Abbrechen"}`)}}).Language([]string{"de-CH"}, ""); swiss.Tag() != "de-CH" || swiss.Say("login.cancel") != "Abbrechen" || swiss.Say("login.password") != "Passwort" {
		t.Errorf("a variant of a language is %s: %s", swiss.Tag(), swiss.Say("login.cancel"))
	}
	for _, c := range []struct {
		name    string
		overlay fstest.MapFS
		wrong   string
	}{
		{"a key that does not exist", file(`{"login.titel": "x"}`), `"login.titel" in de: no page has a message of this name`},
		{"a placeholder that is missing", file(`{"login.lead": "weiter"}`), `"login.lead" in de: it has the placeholders {} where English has {client}`},
		{"a placeholder that does not exist", file(`{"login.title": "{client}"}`), "{client} where English has {}"},
		{"a plural that is missing", fstest.MapFS{"messages/ar.json": {Data: []byte(`{"device.slow": {"other": "{n}"}}`)}}, "the plural form for 0 is missing"},
		{"a form that does not exist", file(`{"device.slow": {"others": "{n}"}}`), `"others" is no plural form`},
		{"no JSON", file(`login.title: x`), "messages/de.json"},
		{"no language", fstest.MapFS{"messages/german!.json": {Data: []byte(`{}`)}}, "not named by a language"},
		{"a language that is not whole", fstest.MapFS{"messages/pt.json": {Data: []byte(`{"login.title": "Entrar"}`)}}, "the language pt lacks the messages accounts.other"},
	} {
		if _, err := New(Config{Overlay: c.overlay}); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: the error is %v, want one that says %q", c.name, err, c.wrong)
		}
	}
}
